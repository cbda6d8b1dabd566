"""Where the values of a configuration come from.

A value is looked up in the flags, then in the environment (``TRUESPARSE_`` and the name in capitals), then in
the configuration file, then in the preset; what is in none of them has its default.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from truesparse.errors import UsageError
from truesparse.training.config import FIELDS, Config, check_names, choices
from truesparse.training.presets import PRESETS
from truesparse.training.settings import checked, kind_of, parse

ENVIRONMENT_PREFIX = "TRUESPARSE_"
PATHS = ("CONFIG", "OUT")  # also looked up in the environment, but no part of a configuration


def resolve(
    flags: Mapping[str, Any], config_file: Path | None = None, environment: Mapping[str, str] | None = None
) -> Config:
    """Merge flags, environment, configuration file, preset and defaults, the first that has a value counting.

    Parameters
    ----------
    flags : mapping
        Field names and values; None where the flag was not given.
    config_file : Path, optional
    environment : mapping, optional
        ``os.environ`` if not given.

    Returns
    -------
    Config

    Raises
    ------
    UsageError
        A value that cannot be right, wherever it came from.
    """
    given = {
        **(load_toml(config_file) if config_file is not None else {}),
        **from_environment(os.environ if environment is None else environment),
        **{name: value for name, value in flags.items() if value is not None},
    }
    preset = PRESETS.get(given.get("preset", FIELDS["preset"].default), {})  # Config refuses unknown ones
    return Config.from_dict({**_fitting(preset, given), **given})


def _fitting(preset: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A preset without what it says of an optimizer, a method, a cell or a density that is replaced."""
    from truesparse.topology.methods import METHODS  # here: a list of flags needs no NumPy

    fitting = dict(preset)
    method = METHODS.get(given.get("method", FIELDS["method"].default))  # Config refuses unknown ones
    if "er_epsilon" in given or (method is not None and method.density is not None):
        fitting.pop("density", None)
    for choice, settings in choices().items():
        own = preset.get(choice, FIELDS[choice].default)
        if given.get(choice, own) != own:
            for name in {name for taken in settings.values() for name in taken}:
                fitting.pop(name, None)
    return fitting


def load_toml(path: Path) -> dict[str, Any]:
    """Read field names and values from a TOML file.

    Raises
    ------
    UsageError
        The file does not exist, is not TOML, or has a key that is no field or a value that its field cannot
        have.
    """
    try:
        values = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the configuration {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(
            f"{path} is not TOML, which is UTF-8 text; write lines such as density = 0.2"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}; write lines such as density = 0.2") from None
    check_names(values, str(path))
    return {name: checked(FIELDS[name], value, f"{name} in {path}") for name, value in values.items()}


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Field names and values that the environment gives.

    Raises
    ------
    UsageError
        A variable with the prefix has the name of no field, a value does not read as the field's type, or the
        field cannot have it.
    """
    known = [*(name.upper() for name in FIELDS), *PATHS]
    for variable in sorted(environment):
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        if name != variable and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {ENVIRONMENT_PREFIX}{near[0]}?" if near else "unset it"
            raise UsageError(f"the environment variable {variable} is no setting of truesparse; {hint}")
    values = {}
    for name, field in FIELDS.items():
        variable = ENVIRONMENT_PREFIX + name.upper()
        if variable in environment:
            value = parse(variable, kind_of(field), environment[variable])
            values[name] = checked(field, value, variable)
    return values
