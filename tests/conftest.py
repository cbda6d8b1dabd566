from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from truesparse.cli import main
from truesparse.errors import flags_named


@pytest.fixture
def command() -> Iterator[None]:
    """A command asks: errors name flags, not parameters."""
    with flags_named():
        yield


def write_text(path: Path) -> None:
    """2,200 words in lines; the next word depends on the last one, so that there is something to learn."""
    rng = random.Random(1)
    lines = []
    for _ in range(200):
        number = rng.randrange(40)
        words = []
        for _ in range(10):
            words.append(f"w{number}")
            number = (3 * number + rng.randrange(3)) % 40
        lines.append(" ".join(words))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_labelled(path: Path) -> None:
    """300 rows of text of 1 to 9 words; one of the words tells the label."""
    rng = random.Random(2)
    rows = ["label,text"]
    for _ in range(300):
        label = rng.choice(["bad", "fair", "good"])
        words = [f"w{rng.randrange(20)}" for _ in range(rng.randrange(9))]
        words.insert(rng.randrange(len(words) + 1), {"bad": "awful", "fair": "so-so", "good": "great"}[label])
        rows.append(f'{label},"{", ".join(words)}!"')
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_tagged(path: Path) -> None:
    """400 sentences, in which "mr" and "in" tell what the next token is, and that what a "jr" behind it."""
    rng = random.Random(3)
    lines = []
    for _ in range(400):
        for _ in range(rng.randrange(2, 9)):
            word = rng.choice(["mr", "in", "", "", ""])
            kind = {"mr": "PER", "in": "LOC"}.get(word)
            lines += [f"{word}\tO"] if kind else []
            lines.append(f"w{rng.randrange(20)}\t{f'B-{kind}' if kind else 'O'}")
            if rng.random() < 0.3:
                lines.append(f"jr\t{f'I-{kind}' if kind else 'O'}")
        lines.append("")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run the command line in a folder of its own: `run("info", "--json")`."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """What `write_text` writes."""
    write_text(tmp_path / "text.txt")
    return tmp_path / "text.txt"


@pytest.fixture
def labelled_file(tmp_path: Path) -> Path:
    """What `write_labelled` writes."""
    write_labelled(tmp_path / "reviews.csv")
    return tmp_path / "reviews.csv"


@pytest.fixture
def tagged_file(tmp_path: Path) -> Path:
    """What `write_tagged` writes."""
    write_tagged(tmp_path / "names.conll")
    return tmp_path / "names.conll"
