from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def output(name: str, *arguments: object) -> str:
    command = [sys.executable, EXAMPLES / name, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_language_model() -> None:
    shown = output("language_model.py")
    assert shown.endswith("fifty seven , fifty eight , fifty nine , sixty , sixty one , sixty two , sixty\n")


def test_chain() -> None:
    shown = output("chain.py")
    assert re.search(r"^rhn\.0\.weight_hh\.1 .* 614 weights$", shown, re.MULTILINE)
    assert float(re.search(r"^accuracy ([\d.]+)%", shown, re.MULTILINE)[1]) > 90


def test_loop() -> None:
    losses = [float(loss) for loss in re.findall(r"test ([\d.]+),", output("loop.py"))]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9


def test_elman() -> None:
    shown = output("elman.py")
    assert float(re.search(r"to ([\d.e-]+)$", shown, re.MULTILINE)[1]) < 0.02
    assert shown.endswith("la do re mi fa sol fa mi re do la mi sol mi la do re\n")


def test_tagger(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    shown = output("tagger.py", 6, tmp_path / "tags.png")
    assert float(re.search(r"^([\d.]+)% of the tokens", shown, re.MULTILINE)[1]) > 99
    assert "\nwe heard that Clare/B-PER laughed\nit rained near Clare/B-LOC again\n" in shown
    assert (tmp_path / "tags.png").stat().st_size > 1000


def test_all_are_listed() -> None:
    listed = set(re.findall(r"\]\(([^)]*)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8")))
    assert {path.name for path in EXAMPLES.glob("*.py")} <= listed
    assert all((EXAMPLES / path).exists() for path in listed)
