"""Nothing that comes from a file steers the terminal: it is shown, as plain characters."""

from __future__ import annotations

import io
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from document_helpers import with_settings

from truesparse.cli.terminal import standard_output
from truesparse.data import TextEncoder, Vocabulary
from truesparse.errors import printable
from truesparse.layers.models import language_model, sequence_model
from truesparse.model import random_model
from truesparse.model.saving import save_model
from truesparse.modelfile import container

TITLE = "\x1b]0;owned\x07\x9b31m\u202ebackwards\u2066\u2028\x7f"  # of the window, colours, direction, a line
MARKUP = "[red]no markup[/red] :smile: $\\alpha$"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def test_printable() -> None:
    assert printable("a\x1b[31m\n\r\t\x9b\x7f") == r"a\x1b[31m\n\r\t\x9b\x7f"
    assert printable("\u202e\u2066\u2029") == r"\u202e\u2066\u2029"
    assert printable(Path("ü/[red] €")) == "ü/[red] €"
    words = "नमस्ते می\u200cخواهم 👩\u200d🚀 שָׁלוֹם e\u0301"  # marks and joiners are parts of words
    assert printable(words) == words
    assert printable(b"\x9b\xff".decode(errors="surrogateescape")) == "\\udc9b\udcff"
    assert printable("\ud800") == "\\ud800"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, shown in ((io.StringIO(), TITLE), (Terminal(), printable(TITLE))):
        monkeypatch.setattr("sys.stdout", stream)
        output = standard_output()
        output.write(f"a\tb\n{TITLE}")
        output.flush()
        assert stream.getvalue() == f"a\tb\n{shown}"


@pytest.fixture
def models(run) -> None:
    """A classifier and a language model with names that would do harm, in the working directory."""
    words = Vocabulary(("<unk>", TITLE, MARKUP, "a"))
    labels = (f"x{TITLE}", f"y{MARKUP}")
    model = random_model(sequence_model(4, 6, 8, 1, outputs=2), 0.5, np.random.default_rng(1))
    folder = Path(f"run{TITLE}{MARKUP}".replace("/", "|"))
    folder.mkdir()
    save_model(folder / "c", model, words, TextEncoder(words, 9), labels)
    speaker = random_model(language_model(4, 6, 8, 1), 0.5, np.random.default_rng(1))
    save_model(folder / "l", speaker, words)
    Path("texts.csv").write_text("label,text\n" + "".join(f'"{label}",a a a\n' for label in labels))
    Path("text.txt").write_text("a a a a\n" * 30)


def in_folder(name: str) -> str:
    (folder,) = Path().glob("run*")
    return str(folder / name)


def check_harmless(text: str) -> None:
    assert text
    assert CONTROL.search(text) is None


def test_what_models_hold_is_shown_harmlessly(run, models: None) -> None:
    classifier, language_model = in_folder("c"), in_folder("l")
    for arguments in (
        ("info", classifier),
        ("evaluate", classifier, "--data", "texts.csv"),
        ("distance", classifier, classifier, classifier),
        ("export", language_model, "--to", "scipy", "--out", in_folder("out")),
        ("export", language_model, "--to", "c", "--name", "m", "--out", in_folder("c99")),
    ):
        result = run(*arguments)
        assert result.exit_code == 0, result.stderr
        check_harmless(result.stdout)
        shown = result.stdout.replace("|", "/")
        assert r"\x1b]0;owned\x07\x9b31m\u202e" in shown
        assert arguments[0] not in ("evaluate", "distance") or MARKUP in shown


def test_errors_are_harmless(run, models: None) -> None:
    with container.Reader(Path(in_folder("c"))) as reader:
        document = reader.document
    bad = {
        "type": document | {"model": with_settings(document["model"], "lstm", type=TITLE)},
        "key": document | {"model": document["model"] | {TITLE: 1}},
    }
    commands = [("info", in_folder("none")), ("evaluate", in_folder("c"), "--data", in_folder("none"))]
    Path("more.csv").write_text(f"label,text\n{TITLE},a\n")
    for name, wrong in bad.items():
        with container.Reader(Path(in_folder("c"))) as reader:
            tensors = {tensor: reader.get(tensor) for tensor in reader.names}
        container.write(Path(name), tensors, wrong)
        commands.append(("evaluate", name, "--data", "more.csv"))
    commands += [("info", "type"), ("info", "key")]
    commands.append(("evaluate", in_folder("c"), "--data", "more.csv"))
    Path("other.csv").write_text(f"{TITLE},b\n1,2\n")
    commands.append(("evaluate", in_folder("c"), "--data", "other.csv"))
    commands.append(("evaluate", in_folder("c"), f"--{TITLE}"))
    commands.append((f"{TITLE}",))
    for arguments in commands:
        result = run(*arguments)
        assert result.exit_code in (1, 2)
        assert result.stderr.count("\n") == 1
        check_harmless(result.stderr)


def test_a_run_tells_of_its_data_harmlessly(run, tiny: list[str], text_file: Path) -> None:
    text = text_file.rename(text_file.with_name(f"{TITLE}.txt".replace("/", "|")))
    result = run("train", "lm", *tiny, "--data", text, "--max-steps", 2, "--out", TITLE)
    assert result.exit_code == 0
    check_harmless(result.stdout)
    assert r"\x1b]0;owned" in result.stdout


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="draws with matplotlib")
def test_pictures_have_no_mathematics(run, tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: (self.canvas.draw(), figures.append(self)))
    names = ["$\\nonsense{$", "_$x$\x1b"]
    for name in names:
        run("train", "lm", *tiny, "--max-steps", 9, "--log-interval", 2, "--out", name, "--quiet")
        assert run("plot", name).exit_code == 0
    assert run("plot", *names).exit_code == 0
    assert run("distance", *names, "--plot", "map.png").exit_code == 0
    titles = [figure.get_suptitle() for figure in figures[:2]]
    (legend,) = figures[2].legends
    ticks = figures[3].axes[0].get_xticklabels()
    shown = ["$\\nonsense{$", "_$x$\\x1b"]
    assert titles == shown
    assert sorted(text.get_text().rpartition("  ")[0] for text in legend.get_texts()) == sorted(shown)
    assert [text.get_text() for text in ticks] == shown
