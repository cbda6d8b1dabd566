"""The tutorials and the page for newcomers, typed in by a reader who has little time.

What trains makes a few steps of a small model. A block of Python whose first line names a file is that file.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest
from click.testing import Result
from page_helpers import blocks
from training_helpers import MPIEXEC, records, without_times

from conftest import write_text

ROOT = Path(__file__).parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
NEWCOMERS = ROOT / "docs" / "newcomers.md"
NEEDS = {
    "classifier": ("pandas", "sklearn"),
    "language-model": ("matplotlib",),
    "microcontroller": ("torch",),
}
SMALL = {
    "train": ["--hidden-size", "8", "--epochs", "1", "--max-steps", "20", "--threads", "1"],
    "import": ["--epochs", "1", "--threads", "1"],
}
Run = Callable[..., Result]
EXCERPTS = {"own-layer": ROOT / "examples" / "elman.py"}  # of which the page shows lines
OTHERS = {*EXCERPTS, "cluster"}  # which have tests of their own


def small(program: str, arguments: list[str]) -> list[str]:
    """What to add to a command that would take long."""
    return SMALL.get(arguments[0 if program == "truesparse" else 1], [])


def type_in(run: Run, page: Path) -> str:
    """Do what a page says, in this folder, and return what its commands print."""
    scope: dict[str, object] = {}
    shown = []
    for language, code in blocks(page.read_text(encoding="utf-8")):
        if file := re.match(r"# (\w+\.py)\n", code):
            Path(file[1]).write_text(code, encoding="utf-8")
        elif language == "python" and not code.startswith(">>>"):  # which is a doctest
            exec(code, scope)
        if language != "sh":
            continue
        for line in code.replace("\\\n", " ").splitlines():
            program, *arguments = shlex.split(line, comments=True)
            if program == "truesparse":
                result = run(*arguments, *small(program, arguments))
                assert result.exit_code == 0, result.output
                shown.append(result.stdout)
            elif program == "python":
                command = [sys.executable, *arguments, *small(program, arguments)]
                shown.append(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            elif program == "mpiexec":
                ranks, arguments = arguments[:2], arguments[3:]  # after the name of our program
                command = [sys.executable, "-m", "truesparse", *arguments, *small("truesparse", arguments)]
                job = [MPIEXEC, *ranks, *command]
                shown.append(subprocess.run(job, check=True, stdout=subprocess.PIPE, text=True).stdout)
            elif which("cc"):
                shown.append(
                    subprocess.run(line, shell=True, check=True, capture_output=True, text=True).stdout
                )
    print(*shown)
    assert shown or scope
    return "".join(shown)


def need(*packages: str) -> None:
    """Skip a test that lacks one of them."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")


@pytest.mark.parametrize("name", sorted({path.stem for path in TUTORIALS.glob("*.md")} - OTHERS))
def test_tutorial(run: Run, name: str) -> None:
    need(*NEEDS.get(name, ()))
    type_in(run, TUTORIALS / f"{name}.md")


def test_newcomers(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule of the researcher is that of a row of the table."""
    need("pandas", "sklearn")
    Path("ptb").mkdir()
    for part in ("train", "valid", "test"):
        write_text(Path("ptb", f"ptb.{part}.txt"))
    monkeypatch.setenv("TRUESPARSE_UPDATE_INTERVAL", "1")
    type_in(run, NEWCOMERS)
    mine, row = (without_times(records(Path(name))) for name in ("mine", "row"))
    assert mine == row
    assert "rewire" in [record["kind"] for record in mine]


def test_cluster(run: Run) -> None:
    """Two ranks learn what one process learns."""
    need("mpi4py")
    if not MPIEXEC:
        pytest.skip("there is no mpiexec")
    type_in(run, TUTORIALS / "cluster.md")
    one, two = (records(Path(name), "end")[0] for name in ("one", "two"))
    assert two["valid_perplexity"] == pytest.approx(one["valid_perplexity"], rel=1e-5)
    assert two["nnz"] == one["nnz"]
    assert two["steps"] == one["steps"] == 20


@pytest.mark.parametrize("name", EXCERPTS)
def test_excerpts(name: str) -> None:
    source = EXCERPTS[name].read_text(encoding="utf-8")
    page = (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    excerpts = [code for _, code in blocks(page, "python")]
    assert len(excerpts) > 3
    assert all(excerpt in source for excerpt in excerpts)
