"""The table of named optimizers."""

from __future__ import annotations

from truesparse.errors import unknown_name
from truesparse.optim.adam import AdamSettings
from truesparse.optim.averaging import ASGDSettings, NTASGDSettings, SNTASGDSettings
from truesparse.optim.settings import OptimizerSettings
from truesparse.optim.sgd import SGDSettings

OPTIMIZERS: dict[str, type[OptimizerSettings]] = {
    kind.NAME: kind for kind in (SGDSettings, AdamSettings, ASGDSettings, NTASGDSettings, SNTASGDSettings)
}


def get_optimizer(name: str) -> type[OptimizerSettings]:
    """Look up an optimizer by a key of `OPTIMIZERS`.

    Returns
    -------
    type
        Of its settings; ``build`` makes the optimizer.

    Raises
    ------
    UsageError
        If there is none of that name; the message names the nearest ones, or else all.
    """
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    raise unknown_name("optimizer", name, OPTIMIZERS)
