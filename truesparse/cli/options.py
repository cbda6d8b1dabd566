"""Flags that are made from the fields of the configuration, and arguments that commands share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from truesparse.settings import flag, kind_of
from truesparse.training.toml import PATHS

if TYPE_CHECKING:
    from truesparse.training.config import Config

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else there."
)


def path_option(flag: str, text: str, name: str | None = None, metavar: str = "FILE", **more: Any) -> Any:
    """A flag for a path; `name` is the parameter's, if it is not the flag's."""
    kind = click.Path(dir_okay=more.pop("dir_okay", True), path_type=Path)
    return click.option(flag, *filter(None, [name]), metavar=metavar, type=kind, help=text, **more)


def number_option(flag: str, default: float, text: str, kind: click.ParamType | None = None) -> Any:
    """A flag for a number of the type of its default, or of a `kind` that bounds it."""
    metavar = "X" if isinstance(default, float) else "N"
    kinds = kind or type(default)
    return click.option(flag, metavar=metavar, type=kinds, default=default, show_default=True, help=text)


def choice_option(flag: str, choices: Sequence[str], text: str, name: str | None = None) -> Any:
    """A flag with choices, the first of which is the default."""
    kind = click.Choice(choices)
    return click.option(
        flag, *filter(None, [name]), type=kind, default=choices[0], show_default=True, help=text
    )


model_argument = click.argument("path", metavar="MODEL_OR_RUN", type=click.Path(path_type=Path))


def column_options(only_read: bool = False) -> Callable[[F], F]:
    """Give a command the flags of all tasks that name columns of data, or of what is read only, for a model
    of any task; None if not given."""

    from truesparse.tasks.registry import TASKS  # which most commands do not need

    columns: dict[str, str] = {}
    for task in TASKS.values():
        for name, field in task.fields().items():
            of_data = name.endswith("_column") and name != "weight_column"  # which only training asks for
            if name in task.READ_COLUMNS or (of_data and not only_read):
                columns.setdefault(name, f"Models of train {task.TASK}: {field.metadata['help']}")

    def decorate(command: F) -> F:
        for name, text in reversed(columns.items()):
            text += "  [default: as in training]"
            command = click.option(flag(name), name, metavar="NAME", help=text)(command)
        return command

    return decorate


def config_options(task: type[Config], only: Collection[str] = ()) -> Callable[[F], F]:
    """Give a command one flag for each field of a configuration, or for some; one that is not given is
    None."""

    def decorate(command: F) -> F:
        for field in reversed(task.fields().values()):
            name = field.name
            if only and name not in only:
                continue
            negation = f"/--no-{flag(name)[2:]}" if kind_of(field) is bool else ""
            command = click.option(flag(name) + negation, name, **_attributes(field, task))(command)
        return command

    return decorate


def _attributes(field: dataclasses.Field[Any], task: type[Config]) -> dict[str, Any]:
    rule, kind, name = field.metadata, kind_of(field), field.name
    first = next(iter(task.PRESETS.values()))
    default = first.get(name, field.default)
    if kind is bool:
        default = ("no", "yes")[bool(default)]
    if name not in first and rule["shown"]:
        default = rule["shown"]
    text = rule["help"]
    if name == "preset":
        text += f" One of {', '.join(task.PRESETS)}."
    attributes: dict[str, Any] = {"default": None, "help": f"{text}  [default: {default}]"}
    if kind is not bool:
        attributes["type"] = click.Choice(rule["choices"]) if rule["choices"] else kind
        attributes["metavar"] = None if rule["choices"] else {int: "N", float: "X", str: "NAME"}[kind]
    if name in PATHS:
        attributes["metavar"] = "PATH"
    return attributes
