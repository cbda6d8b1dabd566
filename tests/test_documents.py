"""README and docs: lengths, commands that parse, and the snippets of the README and of the tutorials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
from command_helpers import parse
from page_helpers import blocks, typed

from truesparse.cli import main

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
MORE = [
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "benchmarks").rglob("*.md")),
    ROOT / "examples" / "README.md",
]
LACKING = (  # how click ends where arguments are none, missing, placeholders or --help
    *(click.exceptions.NoArgsIsHelpError, click.MissingParameter, click.BadParameter),
    *(click.BadOptionUsage, click.exceptions.Exit),
)
LINE, PAGE, SENTENCE = 140, 300, 20  # characters, lines, words


def named(paths: list[Path]) -> list[object]:
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


def sentences(text: str) -> Iterator[str]:
    """Those of running text and lists: no code, headings or tables."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in text.splitlines() if not re.match(r"\s*[|#!]|    |\[.*\]:", line)]
    paragraphs = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", "\n".join(lines))
    for paragraph in paragraphs:
        yield from re.split(r"(?<=[.!?])[*`)\"]*\s+", paragraph.strip())


def words(sentence: str) -> int:
    """How many words a reader counts: an address, a formula or a command is one."""
    short = re.sub(r"\]\([^)]*\)|`[^`]*`", " x ", sentence)
    return len(re.findall(r"\S*\w\S*", short))


@pytest.mark.parametrize("path", named(PAGES + MORE))
def test_lines_are_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    long = [
        f"line {number} has {len(line)} characters"
        for number, line in enumerate(lines, 1)
        if len(line) > LINE
    ]
    assert not long


@pytest.mark.parametrize("path", named(PAGES))
def test_pages_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= (120 if path == README else PAGE)


def test_sentences_are_short() -> None:
    lengths = [
        length
        for path in PAGES
        for length in map(words, sentences(path.read_text(encoding="utf-8")))
        if length > 1
    ]
    assert sum(lengths) / len(lengths) < SENTENCE


def commands(text: str) -> Iterator[list[str]]:
    """The arguments of truesparse in the commands of a page, without what stands for others."""
    for command in typed(text):
        if command.program == "truesparse" and not {"...", "METHOD"} & {*command.arguments}:
            yield command.arguments


@pytest.mark.parametrize("path", named(PAGES + MORE))
def test_commands_parse(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also those that tests/test_guides.py does not carry out."""
    monkeypatch.chdir(tmp_path)
    for arguments in commands(path.read_text(encoding="utf-8")):
        parse(main, arguments)


@pytest.mark.parametrize("path", named(PAGES + MORE))
def test_commands_in_sentences_exist(path: Path) -> None:
    """They may lack arguments, but not have flags that there are not."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for command in re.findall(r"`truesparse ([^`|]+)`", text):
        arguments = [word for word in command.replace("TASK", "lm").split() if word != "..."]
        with suppress(*LACKING):
            parse(main, arguments)


def test_wrong_commands_do_not_parse() -> None:
    (first, second, third) = commands(
        "```sh\ntruesparse train lm --densty 1 \\\n  --x\nA=1 truesparse trian # x\n"
        'X="--size\n1"\nmpiexec -n 2 truesparse train lm $X\n```\n'
    )
    assert third == ["train", "lm", "--size", "1"]
    for arguments in (first, second, third):
        with pytest.raises(click.UsageError):
            parse(main, arguments)


def test_readme_begins_with_what_ci_runs() -> None:
    (_, install), (_, test) = blocks(README.read_text(encoding="utf-8"), "sh")[:2]
    assert install.endswith("truesparse train lm\n")
    assert test.endswith("pytest\n")


def test_readme_in_python(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ((_, code),) = blocks(README.read_text(encoding="utf-8"), "python")
    exec(code, {})
    assert float(capsys.readouterr().out.rpartition(" ")[2]) < 0.1
    assert (tmp_path / "counting.safetensors").is_file()


COUNTED = re.compile(r"\| ([\d,]+) \| `pytest --collect-only -q -n0(?: -k (\w+))?((?: tests/[\w/.]+)*)` \|")


def test_the_counts_of_tests(request: pytest.FixtureRequest) -> None:
    """A count is right within 3 %; without the extras a tenth of the tests is not collected."""
    names = [item.nodeid for item in request.session.items]
    folders = {f"tests/{path.parent.name}" for path in (ROOT / "tests").glob("*/test_*.py")}
    some = request.config.option.keyword or request.config.getoption("missed_from")
    if some or not folders <= {name.rpartition("/")[0] for name in names}:
        pytest.skip("only a run of all tests knows how many there are")
    counted = COUNTED.findall((ROOT / "docs" / "testing.md").read_text(encoding="utf-8"))
    assert len(counted) == 6
    for number, keyword, paths in counted:
        found = [
            name for name in names if keyword in name.lower() and name.startswith(tuple(paths.split()) or "")
        ]
        told = int(number.replace(",", ""))
        assert 0.85 * told < len(found) < 1.03 * told, (number, keyword, paths)
