from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from command_helpers import parse

from truesparse.cli import main
from truesparse.cli.help import Command, group_of
from truesparse.cli.root import COMMANDS
from truesparse.settings import setting
from truesparse.tasks.registry import TASKS

GROUPS = ["Data", "Model", "Sparsity", "Training", "Output"]


@pytest.mark.parametrize("task", TASKS)
def test_flags_are_in_groups(run, task: str) -> None:
    shown = run("train", task, "--help").stdout
    assert re.findall(r"^(\w+):$", shown, re.MULTILINE) == [*GROUPS, "Examples"]
    first = ("--data", "--preset", "--density", "--epochs", "--out")
    places = [shown.index(f"\n  {name} ") for name in first]
    assert places == sorted(places)
    for field in TASKS[task].fields():
        assert f"--{field.replace('_', '-')} " in shown
        assert group_of(field, TASKS[task]) in GROUPS


@pytest.mark.parametrize(
    ("command", "groups"),
    [
        ("predict", ["Data", "Output", "Examples"]),
        ("bench step", ["Measurement", "Model", "Sparsity", "Training", "Output"]),
    ],
)
def test_other_flags_are_in_groups(run, command: str, groups: list[str]) -> None:
    shown = run(*command.split(), "--help").stdout
    assert re.findall(r"^(\w+):$", shown, re.MULTILINE) == groups
    assert "--help  " in shown.partition("\nOutput:")[2]


def test_a_new_setting_finds_its_group() -> None:
    lm = TASKS["lm"]

    class Own(lm):  # type: ignore[misc, valid-type]
        """Fields as if somebody had added them."""

        own: int = 1
        said: int = 1

        @classmethod
        def fields(cls):
            new = {"own": setting(1, "Own."), "said": setting(1, "Said.", group="Sparsity")}
            return {**lm.fields(), **new}

    assert group_of("own", Own) == "Data"
    assert group_of("said", Own) == "Sparsity"
    belonging = {"reset_gate": "Model", "group_lasso": "Sparsity", "beta1": "Training"}
    assert {name: group_of(name, lm) for name in belonging} == belonging


def every_command(command: click.Command = main, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from every_command(command.get_command(context, name), *path, name)


def test_narrow_terminals(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    for path in every_command():
        shown, _, _ = run(*path, "--help").stdout.partition("\nExamples:\n")
        for line in shown.splitlines():
            indent = line[: len(line) - len(line.lstrip())]
            assert (
                len(line) <= 40 or line.lstrip().startswith("-") or len(line.split()) == 1 or len(indent) < 3
            )


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    arguments = ["export", "--help"]
    assert "\x1b[1mOptions" in CliRunner().invoke(main, arguments, color=True).output
    assert "\x1b" not in CliRunner().invoke(main, arguments).output
    for variable in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in CliRunner(env=variable).invoke(main, arguments, color=True).output


def test_examples_parse() -> None:
    context = click.Context(main)
    commands = [main.get_command(context, name) for name in COMMANDS]
    train = main.get_command(context, "train")
    commands += [train.get_command(context, task) for task in TASKS]
    lines = [
        line for command in commands if isinstance(command, Command) for line in command.examples.split("\n")
    ]
    examples = [shlex.split(line) for line in lines if line]
    assert len(examples) > 20
    for program, *arguments in examples:
        assert program == "truesparse"
        parse(main, arguments[: arguments.index("<")] if "<" in arguments else arguments)
