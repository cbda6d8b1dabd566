"""Flags that are made from the fields of the configuration, and arguments that commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from truesparse.training.config import FIELDS
from truesparse.training.presets import PRESETS
from truesparse.training.settings import flag, kind_of

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else there."
)

model_argument = click.argument("path", metavar="MODEL_OR_RUN", type=click.Path(path_type=Path))


def config_options(command: F) -> F:
    """Give a command one flag for each field of the configuration; a flag that is not given is None."""
    for name in reversed(FIELDS):
        command = click.option(_declaration(name), name, **_attributes(name))(command)
    return command


def _declaration(name: str) -> str:
    return f"{flag(name)}/--no-{flag(name)[2:]}" if kind_of(FIELDS[name]) is bool else flag(name)


def _attributes(name: str) -> dict[str, Any]:
    field = FIELDS[name]
    rule, kind = field.metadata, kind_of(field)
    default = rule["shown"] or (("no", "yes")[bool(field.default)] if kind is bool else field.default)
    text = rule["help"]
    if name == "preset":
        text += f" One of {', '.join(PRESETS)}."
    attributes: dict[str, Any] = {"default": None, "help": f"{text}  [default: {default}]"}
    if kind is not bool:
        attributes["type"] = click.Choice(rule["choices"]) if rule["choices"] else kind
        attributes["metavar"] = None if rule["choices"] else {int: "N", float: "X", str: "NAME"}[kind]
    if name == "data":
        attributes["metavar"] = "PATH"
    return attributes
