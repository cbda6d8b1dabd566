"""Parameters of the estimators, made of the fields of a configuration."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from truesparse import optim
from truesparse.errors import without_flags
from truesparse.settings import Settings, kind_of, setting
from truesparse.training.chosen import choices
from truesparse.training.config import Config

E = TypeVar("E", bound=type)

# Of the others the model is an average, begun when a validation loss stalls that an estimator need not have.
OPTIMIZERS = sorted(name for name, kind in optim.OPTIMIZERS.items() if not kind.AVERAGES)
_OF_METHODS = ("distribution", "gates")  # with some there is no choice
# Of a run on the command line: an estimator has its own words for these, or no use for them.
_OF_RUNS = frozenset(
    {
        "preset",
        "recipe",
        "data",
        "max_steps",
        "patience",
        "max_minutes",
        "eval_interval",
        "log_interval",
        "log",
        "track_positions",
        "keep_topologies",
        "local_steps",
        "outer_momentum",
        "comm_dtype",
        "seed",
        "threads",
    }
    | {"start_topology", "start_values", "tune"}
)
_WIDTH = 106


def _choice_of(names: Iterable[str]) -> str:
    """Names as docstrings have them: {"a", "b"}."""
    return "{" + ", ".join(f'"{name}"' for name in names) + "}"


class Parameter(NamedTuple):
    """A parameter that is no setting of a configuration."""

    default: Any
    type: str
    help: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitSettings(Settings):
    """When `fit` begins anew and when it ends."""

    early_stopping: bool = setting(
        False,
        "End when the score of the held-out samples has not risen by tol in n_iter_no_change epochs. Without,"
        " all epochs are made.",
    )
    n_iter_no_change: int = setting(10, "Epochs that early_stopping waits.", low=1)
    tol: float = setting(1e-4, "The least rise of the score that counts for early_stopping.", low=0)
    warm_start: bool = setting(
        False, "Begin with weights and connections of the last fit, not with random ones."
    )


OWN = {
    "optimizer": Parameter("adam", _choice_of(OPTIMIZERS), "How weights change by their gradients."),
    "validation_fraction": Parameter(
        0.0,
        "float",
        "Fraction of the samples that are held out to choose the epoch whose model is kept. With 0 there are"
        " none, and the last one is; with early_stopping 0 stands for 0.1.",
    ),
    **{
        field.name: Parameter(field.default, kind_of(field).__name__, field.metadata["help"])
        for field in dataclasses.fields(FitSettings)
    },
    "random_state": Parameter(
        None,
        "int, RandomState or None",
        "Decides weights, connections, dropout, and what is held out. The number of threads has no"
        " influence.",
    ),
    "n_jobs": Parameter(
        None,
        "int or None",
        "Threads; None for 1 (or what ``joblib.parallel_config`` says), -1 for all cores.",
    ),
    "verbose": Parameter(0, "int", "Print a line each epoch if not 0."),
    "reporter": Parameter(None, "Reporter or None", "Called at steps and epochs of `fit`."),
}
CLASS_WEIGHT = {
    "class_weight": Parameter(
        None,
        '{"balanced"}, mapping or None',
        "How much the samples of each class count in the loss: by a mapping from classes to weights of 0 or"
        ' more, 1 for a class that it leaves out; with "balanced" inversely to how often a class occurs.',
    )
}


def with_parameters(
    kind: type[Config],
    own: Mapping[str, Parameter] = OWN,
    without: Collection[str] = (),
    absent: Mapping[str, str] = {},
) -> Callable[[E], E]:
    """Give an estimator a constructor that takes the settings of a configuration and others.

    Parameters
    ----------
    kind : type
        Of the configuration. Its first preset gives defaults; what the preset says of a choice, such as a
        learning rate, has the default None, for another choice has others.
    own : mapping of str to Parameter
        What it takes besides.
    without : collection of str
        Fields that make no sense here.
    absent : mapping of str to str
        Why it lacks parameters that users may look for.

    Returns
    -------
    callable
        A class decorator. It puts descriptions in the place of ``{parameters}`` in the class's docstring.
    """
    preset = next(iter(kind.PRESETS.values()))
    left = _fields(kind, _OF_RUNS.union(without, own))
    defaults = {name: _default(name, field, preset) for name, field in left.items()}
    defaults |= {name: parameter.default for name, parameter in own.items()}
    texts = [
        _described(name, _type(field, defaults[name]), _help(name, field, preset))
        for name, field in left.items()
    ]
    texts += [_described(name, parameter.type, parameter.help) for name, parameter in own.items()]

    def lacking(estimator: Any, name: str) -> str:
        reason = f", as {absent[name]}" if name in absent else ""
        return f"{type(estimator).__name__} has no parameter {name!r}{reason}"

    def decorate(estimator: E) -> E:
        def __init__(self: Any, **parameters: Any) -> None:
            """Take the parameters; they are checked when the estimator is fitted."""
            unknown = [name for name in parameters if name not in defaults]
            if unknown:
                raise TypeError(lacking(self, unknown[0]))
            vars(self).update(defaults | parameters)

        def set_params(self: Any, **parameters: Any) -> Any:
            """Change parameters, as of scikit-learn; the error for one that is lacking tells why."""
            for name in absent.keys() & parameters.keys():
                raise ValueError(lacking(self, name))
            return super(estimator, self).set_params(**parameters)  # type: ignore[arg-type]

        keyword = inspect.Parameter.KEYWORD_ONLY
        signature = [inspect.Parameter(name, keyword, default=value) for name, value in defaults.items()]
        first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        __init__.__signature__ = inspect.Signature([first, *signature])  # type: ignore[attr-defined]
        __init__.__qualname__ = f"{estimator.__name__}.__init__"
        __init__.__module__ = estimator.__module__
        estimator.__init__ = __init__  # type: ignore[misc]
        estimator.set_params = set_params  # type: ignore[attr-defined]
        estimator.__doc__ = (estimator.__doc__ or "").replace("    {parameters}\n", "".join(texts))
        return estimator

    return decorate


def _fields(kind: type[Config], without: Collection[str]) -> dict[str, dataclasses.Field[Any]]:
    """The settings that an estimator can have: none that only other optimizers have."""
    optimizers = choices()["optimizer"]
    others = {name for fields in optimizers.values() for name in fields}
    others -= {name for optimizer in OPTIMIZERS for name in optimizers[optimizer]}
    return {
        name: field for name, field in kind.fields().items() if name not in others and name not in without
    }


def _default(name: str, field: dataclasses.Field[Any], preset: Mapping[str, Any]) -> Any:
    return None if _depends(name, field, preset) else preset.get(name, field.default)


def _depends(name: str, field: dataclasses.Field[Any], preset: Mapping[str, Any]) -> bool:
    """Whether a preset's value goes if another choice is made, and must not be kept."""
    return name in preset and (field.default is None or name in _OF_METHODS) and name != "clip"


def _type(field: dataclasses.Field[Any], default: Any) -> str:
    choices = field.metadata["choices"]
    word = _choice_of(choices) if choices else kind_of(field).__name__
    return f"{word}, optional" if default is None else word


def _help(name: str, field: dataclasses.Field[Any], preset: Mapping[str, Any]) -> str:
    shown = preset[name] if _depends(name, field, preset) else field.metadata["shown"]
    text = field.metadata["help"]
    given = not _depends(name, field, preset) and (field.default is not None or name in preset)
    return text if given or shown is None else f"{text} If not given: {shown}."


def _described(name: str, kind: str, text: str) -> str:
    indent = " " * 8
    lines = textwrap.wrap(without_flags(text), _WIDTH, initial_indent=indent, subsequent_indent=indent)
    return "\n".join([f"    {name} : {kind}", *lines, ""])
