"""The tutorials, typed in by a reader who has little time: what trains makes a few steps of a small model."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest

ROOT = Path(__file__).parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
NEEDS = {
    "classifier": ("pandas", "sklearn"),
    "language-model": ("matplotlib",),
    "microcontroller": ("torch",),
}
SMALL = {
    "train": ["--hidden-size", "8", "--epochs", "1", "--max-steps", "20", "--threads", "1"],
    "import": ["--epochs", "1", "--threads", "1"],
}
EXCERPTS = {"own-layer": ROOT / "examples" / "elman.py"}  # of which the page shows lines


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The code blocks and their languages."""
    yield from re.findall(
        r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


@pytest.mark.parametrize("name", sorted({path.stem for path in TUTORIALS.glob("*.md")} - EXCERPTS.keys()))
def test_tutorial(run, name: str) -> None:
    missing = [package for package in NEEDS.get(name, ()) if find_spec(package) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")
    scope: dict[str, object] = {}
    done = 0
    for language, code in blocks(TUTORIALS / f"{name}.md"):
        if language == "python" and not code.startswith(">>>"):  # which is a doctest
            exec(code, scope)
            done += 1
        if language == "sh":
            for line in code.replace("\\\n", " ").splitlines():
                program, *arguments = shlex.split(line, comments=True)
                if program == "truesparse":
                    result = run(*arguments, *SMALL.get(arguments[0], []))
                    assert result.exit_code == 0, result.output
                    print(result.stdout)
                elif which("cc"):
                    print(subprocess.run(line, shell=True, check=True, capture_output=True, text=True).stdout)
                done += 1
    assert done


@pytest.mark.parametrize("name", EXCERPTS)
def test_excerpts(name: str) -> None:
    source = EXCERPTS[name].read_text(encoding="utf-8")
    excerpts = [code for language, code in blocks(TUTORIALS / f"{name}.md") if language == "python"]
    assert len(excerpts) > 3
    assert all(excerpt in source for excerpt in excerpts)
