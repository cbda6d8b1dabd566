"""Flags that are made from the fields of the configuration, and arguments that commands share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from truesparse.settings import flag, kind_of

if TYPE_CHECKING:
    from truesparse.training.config import Config

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else there."
)

model_argument = click.argument("path", metavar="MODEL_OR_RUN", type=click.Path(path_type=Path))


def column_options(only_texts: bool = False) -> Callable[[F], F]:
    """Give a command the flags of all tasks that name columns of data, or of texts only, for a model of any
    task; None if not given."""

    from truesparse.tasks.registry import TASKS  # which most commands do not need

    columns: dict[str, str] = {}
    for task in TASKS.values():
        for name, field in task.fields().items():
            if name == task.TEXT_COLUMN or (name.endswith("_column") and not only_texts):
                columns.setdefault(name, f"Of a {task.TASK}: {field.metadata['help']}")

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
    if name == "data":
        attributes["metavar"] = "PATH"
    return attributes
