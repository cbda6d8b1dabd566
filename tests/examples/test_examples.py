from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

EXAMPLES = Path(__file__).parents[2] / "examples"


def output(name: str, *arguments: object) -> str:
    command = [sys.executable, EXAMPLES / name, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_sentiment(labelled_file: Path) -> None:
    shown = output("sentiment.py")
    assert float(re.search(r"accuracy +([\d.]+)", shown)[1]) > 0.9
    assert re.search(r"^(positive|negative): ", shown, re.MULTILINE)
    assert "fair" in output("sentiment.py", labelled_file)


def test_digits() -> None:
    shown = output("digits.py", 400)
    assert len(re.findall(r"^0\.\d+  \{", shown, re.MULTILINE)) == 6
    assert float(re.search(r"test accuracy ([\d.]+)", shown)[1]) > 0.9


def test_filter(tmp_path: Path) -> None:
    """With fewer sequences than it takes to learn the filter well."""
    shown = output("filter.py", tmp_path, 64)
    assert float(re.search(r"weights, error ([\d.e+-]+) of the variance", shown)[1]) < 0.5
    assert (tmp_path / "filter" / "model.c").is_file()


def test_forecast(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    shown = output("forecast.py", 4, tmp_path / "week.png")
    assert (tmp_path / "week.png").stat().st_size > 1000
    score, naive = (float(number) for number in re.findall(r"R² of .* ([\d.]+)\n", shown))
    assert score > max(0.6, naive)
    without, with_one = (
        [float(word) for word in line.split(": ")[1].split()] for line in shown.splitlines()[-2:]
    )
    assert np.argmax(np.subtract(with_one, without)) == 2


def test_pixels(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    shown = output("pixels.py", tmp_path / "pixels.png")
    before, after = (
        [float(number) for number in re.findall(r"[\d.]+", line)] for line in shown.splitlines()[-3:-1]
    )
    assert after[0] > 1.5 * after[1]
    assert after[0] > before[0]
    assert (tmp_path / "pixels.png").stat().st_size > 1000


def test_sensor(tmp_path: Path) -> None:
    """With fewer epochs than it takes to tell walking from climbing stairs."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    shown = output("sensor.py", 5, tmp_path / "sensor.png")
    assert float(re.search(r"^([\d.]+)% of the readings", shown, re.MULTILINE)[1]) > 60
    assert (tmp_path / "sensor.png").stat().st_size > 1000


def test_lottery(tmp_path: Path) -> None:
    """After five epochs the connections that RigL has found are worth more than those at random."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    shown = output("lottery.py", 5, tmp_path / "lottery.png")
    assert (tmp_path / "lottery.png").stat().st_size > 1000
    fixed, _, _, trained = (float(number) for number in re.findall(r"([\d.]+) ±", shown))
    assert trained > 1.1 * fixed
