"""The table of named optimizers: what each takes, and what it takes if nothing is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from truesparse.errors import unknown_name
from truesparse.optim.adam import Adam
from truesparse.optim.averaging import ASGD, NTASGD, SNTASGD
from truesparse.optim.base import Optimizer
from truesparse.optim.sgd import SGD
from truesparse.sparse import Arena

# Settings of the training loop, not of the optimizer itself, whose good values depend on it all the same.
_OF_THE_LOOP = frozenset({"clip", "lr_decay", "lr_decay_start"})


@dataclass(frozen=True)
class OptimizerChoice:
    """An optimizer by its name.

    Parameters
    ----------
    name : str
        What the user calls it.
    make : type
    defaults : mapping of str to number or bool
        Every setting that it takes, with its default. Beside those of the optimizer there may be `clip`, the
        longest gradient; `lr_decay`, the divisor of the learning rate when the validation loss stalls; and
        `lr_decay_start`, the epoch from which on it falls in any case.
    """

    name: str
    make: Callable[..., Optimizer]
    defaults: Mapping[str, Any]

    def build(self, arena: Arena, weight_decay: float, settings: Mapping[str, Any]) -> Optimizer:
        """Return the optimizer of an arena.

        Parameters
        ----------
        arena : Arena
        weight_decay : float
        settings : mapping
            A value for each of `defaults`; others are not looked at.
        """
        own = {name: settings[name] for name in self.defaults if name not in _OF_THE_LOOP}
        return self.make(arena, weight_decay=weight_decay, **own)


_AVERAGING = {"lr": 20.0, "clip": 0.25}
_TRIGGERED = {**_AVERAGING, "lr_decay": 1.0, "lr_decay_start": 0, "nonmonotone": 5}
_FALLING = {"clip": 10.0, "lr_decay": 1.33, "lr_decay_start": 0}

OPTIMIZERS = {
    choice.name: choice
    for choice in (
        OptimizerChoice("sgd", SGD, {"lr": 2.0, "momentum": 0.9, **_FALLING}),
        OptimizerChoice(
            "adam",
            Adam,
            {
                "lr": 0.002,
                "beta1": 0.9,
                "beta2": 0.999,
                "epsilon": 1e-8,
                "decoupled_decay": False,
                **_FALLING,
            },
        ),
        OptimizerChoice("asgd", ASGD, _AVERAGING),
        OptimizerChoice("nt-asgd", NTASGD, _TRIGGERED),
        OptimizerChoice("snt-asgd", SNTASGD, _TRIGGERED),
    )
}


def get_optimizer(name: str) -> OptimizerChoice:
    """Look up an optimizer.

    Parameters
    ----------
    name : str
        A key of `OPTIMIZERS`.

    Returns
    -------
    OptimizerChoice

    Raises
    ------
    UsageError
        If there is none of that name; the message names the nearest ones, or else all.
    """
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    raise unknown_name("optimizer", name, OPTIMIZERS)
