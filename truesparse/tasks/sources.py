"""Where the values of a configuration come from.

A value is looked up in the flags, then in the environment (``TRUESPARSE_`` and the name in capitals), then in
the configuration file, then in the recipe, then in the preset; what is in none of them has its default. Of a
file, a recipe and a preset nothing counts that belongs to another cell, optimizer or method than the one that
was chosen.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from truesparse.errors import UsageError, printable
from truesparse.settings import checked, flag, joined, kind_of, parse
from truesparse.tasks.lm.settings import OF_MIXTURE, LanguageModelConfig
from truesparse.tasks.registry import TASKS
from truesparse.topology.methods import METHODS
from truesparse.training.chosen import choices
from truesparse.training.config import Config

if TYPE_CHECKING:
    from truesparse.topology.method import Method

Fields = Mapping[str, dataclasses.Field[Any]]

ENVIRONMENT_PREFIX = "TRUESPARSE_"
PATHS = ("CONFIG", "OUT")  # also looked up in the environment, but no part of a configuration


C = TypeVar("C", bound=Config)


def resolve(
    flags: Mapping[str, Any],
    config_file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    task: type[C] = LanguageModelConfig,  # type: ignore[assignment]
) -> C:
    """Merge flags, environment, configuration file, preset and defaults, the first that has a value counting.

    Parameters
    ----------
    flags : mapping
        Field names and values; None where the flag was not given.
    config_file : Path, optional
    environment : mapping, optional
        ``os.environ`` if not given.
    task : type
        Of the configuration.

    Returns
    -------
    Config

    Raises
    ------
    UsageError
        A value that cannot be right, wherever it came from.
    """
    given = {
        **from_environment(os.environ if environment is None else environment, task),
        **{name: value for name, value in flags.items() if value is not None},
    }
    if config_file is not None:
        given = {**_without_replaced(task.load_toml(config_file), given, task, config_file), **given}
    return _with_preset(given, task)


def _with_preset(given: Mapping[str, Any], task: type[C]) -> C:
    fields = task.fields()
    # The task refuses unknown ones.
    preset = {
        **task.PRESETS.get(given.get("preset", fields["preset"].default), {}),
        **task.RECIPES.get(given.get("recipe", ""), {}),
    }
    return task.from_dict({**_fitting(preset, given, task), **given})


def _choices(task: type[Config]) -> dict[str, dict[str, Fields]]:
    """The settings that each option of each choice has; see `truesparse.training.chosen.choices`."""
    fields, found = task.fields(), choices()
    if "head" in fields:
        found["head"] = {"softmax": {}, "mos": {name: fields[name] for name in OF_MIXTURE}}
    return {choice: options for choice, options in found.items() if choice in fields}


def _without_replaced(
    file: Mapping[str, Any], over: Mapping[str, Any], task: type[Config], path: Path
) -> dict[str, Any]:
    """What a file says, without what belongs to a cell, head, optimizer or method that another one replaces.

    A warning tells of values that were meant, and of those that stay although they fit what is replaced.
    """
    kept = dict(file)
    if "start_topology" in over:
        for name in ("density", "er_epsilon", "rank_exponent"):
            kept.pop(name, None)
    made = _choices(task)
    said = [name for name in ("preset", "recipe", "dropout", *made) if name in file]
    for choice, options in made.items():
        if over.get(choice) not in options or file.get(choice, "") not in ("", *options):
            continue  # the task refuses unknown ones
        usual = _with_preset({name: file[name] for name in said}, task).filled()
        old, new = getattr(usual, choice), over[choice]
        if new == old:
            continue
        replaced = {name for own in options.values() for name in own} - options[new].keys()
        if choice == "method":
            replaced |= _settled(METHODS[new])
            if METHODS[old].density == file.get("density"):
                replaced.add("density")
        lost = {name: kept.pop(name) for name in replaced & kept.keys()}
        meant = [f"{name} {value}" for name, value in lost.items() if value != getattr(usual, name)]
        stay = [
            f"{name} {kept[name]}"
            for name, field in options[new].items()
            if name in kept.keys() - over.keys() and kept[name] == getattr(usual, name) != field.default
        ]
        words = [
            f"{word} its {joined(them, 'and')}" for word, them in (("without", meant), ("with", stay)) if them
        ]
        if words:
            sentence = f"{printable(path)} is for {flag(choice)} {old}; {new} is used {' and '.join(words)}"
            warnings.warn(sentence, stacklevel=3)
    return kept


def _settled(method: Method) -> set[str]:
    """Names of what a method leaves no choice of."""
    names = set()
    if method.density is not None:
        names |= {"density", "er_epsilon"}
    if method.fused:
        names.add("gates")
    if method.spread:
        names |= {"distribution", "er_epsilon"}
    if method.initial != "sparse":
        names.add("rank_exponent")
    return names


def _fitting(preset: Mapping[str, Any], given: Mapping[str, Any], task: type[Config]) -> dict[str, Any]:
    """A preset without what it says of an optimizer, a method, a cell, a head or a density that is
    replaced."""
    fields = task.fields()
    method = METHODS.get(given.get("method", fields["method"].default))  # the task refuses unknown ones
    replaced: set[str] = set()
    if given.keys() & {"er_epsilon", "density", "start_topology"} or given.get("distribution") == "uniform":
        replaced |= {"density", "er_epsilon"}
    if "start_topology" in given or given.get("level") == "subword":
        replaced.add("rank_exponent")
    if method is not None:
        replaced |= _settled(method)
    for choice, options in _choices(task).items():
        own = preset.get(choice, fields[choice].default)
        new = given.get(choice, own)
        if new == own:
            continue
        kept = options.get(new, {}) if choice in ("cell", "head") else {}  # such as dropout, but no rate
        replaced |= {name for taken in options.values() for name in taken if name not in kept}
        if choice == "cell":
            replaced.add("lr_density_exponent")  # another cell does not bear such rates
    return {name: value for name, value in preset.items() if name not in replaced}


def from_environment(
    environment: Mapping[str, str], task: type[Config] = LanguageModelConfig
) -> dict[str, Any]:
    """Field names and values that the environment gives; those of other tasks are passed over.

    Raises
    ------
    UsageError
        A variable with the prefix has the name of no field, a value does not read as the field's type, or the
        field cannot have it.
    """
    known = [*(name.upper() for config in TASKS.values() for name in config.fields()), *PATHS]
    for variable in sorted(environment):
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        if name != variable and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {ENVIRONMENT_PREFIX}{near[0]}?" if near else "unset it"
            raise UsageError(f"the environment variable {variable} is no setting of truesparse; {hint}")
    values = {}
    for name, field in task.fields().items():
        variable = ENVIRONMENT_PREFIX + name.upper()
        if variable in environment:
            value = parse(variable, kind_of(field), environment[variable])
            values[name] = checked(field, value, variable)
    return values
