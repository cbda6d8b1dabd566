"""The table of named training methods."""

from __future__ import annotations

from typing import Any

from truesparse.errors import UsageError, unknown_name
from truesparse.settings import check_kind, listed
from truesparse.topology.deepr import DeepRSettings
from truesparse.topology.granet import GraNetSettings
from truesparse.topology.iss import ISSSettings
from truesparse.topology.method import Method
from truesparse.topology.schedules import cosine, cubic
from truesparse.topology.snip import SNIPSettings

_SHARES_OUT = "shares out the weights over the whole model"
_EVERY_EPOCH = {"update_interval": 0, "update_end": 1.0}
_AS_DROPPED = {"redistribute": "method"}  # where each matrix keeps its number by default

METHODS: dict[str, Method] = {}


def register(method: Method) -> Method:
    """Add a method to the table, so that commands and functions find it by its name.

    Parameters
    ----------
    method : Method

    Returns
    -------
    Method
        The same.

    Raises
    ------
    UsageError
        If there is one of that name already.
    """
    check_kind("method", method, Method, "a Method")
    if method.name in METHODS:
        raise UsageError(f"there is a method {method.name!r} already; choose another name")
    METHODS[method.name] = method
    return method


def get_method(name: str) -> Method:
    """Look up a method.

    Parameters
    ----------
    name : str
        A key of `METHODS`.

    Returns
    -------
    Method

    Raises
    ------
    UsageError
        If there is none of that name; the message names the nearest ones, or else all.
    """
    check_kind("method", name, str, f"the name of a method: {listed(METHODS)}")
    if name in METHODS:
        return METHODS[name]
    raise unknown_name("method", name, METHODS)


def method(name: str, **settings: Any) -> Method:
    """Look up a method, and change some of its settings.

    Parameters
    ----------
    name : str
        A key of `METHODS`.
    **settings
        Such as `drop_fraction`; ``truesparse methods`` and docs/methods.md have them.

    Raises
    ------
    UsageError
        There is no such method or setting, or one is out of range.

    Examples
    --------
    >>> method("rigl", update_interval=50).defaults
    {'drop_fraction': 0.3, 'update_interval': 50, 'update_end': 0.75, 'redistribute': 'method'}
    """
    return get_method(name).with_settings(**settings)


class _Own(Method):
    """One of this table, whose rules there are: to look for them would import NumPy."""

    def _check_rules(self) -> None:
        pass


for _method in (
    _Own(
        "st-rnn",
        "drop the smallest weights of each matrix, grow as many at random",
        drop="smallest_magnitude",
        schedule=cosine,
        defaults={"drop_fraction": 0.5, **_EVERY_EPOCH, **_AS_DROPPED},
    ),
    _Own(
        "selfish",
        "as st-rnn, the gates of a cell always competing for one budget",
        drop="smallest_magnitude",
        schedule=cosine,
        final_fraction=0.005,
        defaults={"drop_fraction": 0.5, **_EVERY_EPOCH, **_AS_DROPPED},
        fused="lets the gates of a cell compete for one budget",
    ),
    _Own(
        "set",
        "drop the positive and the negative weights nearest to 0, grow as many at random",
        drop="smallest_of_each_sign",
        defaults={"drop_fraction": 0.3, **_EVERY_EPOCH, **_AS_DROPPED},
    ),
    _Own(
        "cht",
        "drop the smallest weights, grow as many where paths of three others lead",
        drop="smallest_magnitude",
        grow="cht.path_ends",
        schedule=cosine,
        defaults={"drop_fraction": 0.5, **_EVERY_EPOCH, **_AS_DROPPED},
        stores="nothing; at an update 10 bytes a weight of one matrix",
    ),
    _Own(
        "dsr",
        "drop below one threshold for the whole model, grow where most weights survive",
        drop="below_threshold",
        grow="untried_positions",
        redistribute="by_survivors",
        adapt="double_or_halve",
        defaults={"drop_fraction": 0.05, "update_interval": 200, "update_end": 0.75},
        fused="moves weights between matrices",
    ),
    _Own(
        "deepr",
        "each weight keeps its sign; one that would change it is dropped, and another grown at random",
        drop="changed_sign",
        first_values="random_signs",
        hooks="deepr.SignedHooks",
        defaults={"update_interval": 1, "update_end": 1.0},
        settings=DeepRSettings,
        single="keeps the sign of each weight, and a connection of several weights has none",
        stores="4 bytes a weight: its sign",
    ),
    _Own(
        "gmp",
        "begin dense, drop the smallest weights little by little, grow none",
        drop="down_to_target",
        redistribute="none_grown",
        schedule=cubic,
        final_fraction=1.0,
        initial="dense",
        defaults={"update_interval": 100, "update_end": 0.75},
        stores="all positions at first",
        work="3 f of the density at each step",
    ),
    _Own(
        "iss",
        "begin dense, pull the weights of each hidden unit towards 0, take the smallest units away",
        drop="iss.all_zero",
        redistribute="none_grown",
        hooks="iss.UnitHooks",
        schedule=cubic,
        final_fraction=1.0,
        initial="dense",
        defaults={"update_interval": 100, "update_end": 0.75},
        settings=ISSSettings,
        spread="takes whole units away",
        units=True,
        stores="all positions at first",
        work="3 f of the density at each step",
    ),
    _Own(
        "granet",
        "begin less sparse, prune little by little, grow as many at random as an update replaces",
        drop="granet.smallest_beyond_target",
        redistribute="granet.up_to_target",
        hooks="granet.GraNetHooks",
        schedule=cosine,
        initial_setting="initial_density",
        shrinks=True,
        defaults={"drop_fraction": 0.5, "update_interval": 100, "update_end": 0.75},
        settings=GraNetSettings,
        work="3 f of the density at each step",
    ),
    _Own(
        "rigl",
        "drop the smallest weights of each matrix, grow as many where the gradient is largest",
        drop="smallest_magnitude",
        grow="highest_scores",
        schedule=cosine,
        hooks="hooks.GradientHooks",
        defaults={"drop_fraction": 0.3, "update_interval": 100, "update_end": 0.75, **_AS_DROPPED},
        stores="nothing; at an update some rows of a gradient",
        work="3 f_S, and f_D more at an update",
    ),
    _Own(
        "snfs",
        "drop the smallest weights, grow where the momentum of the gradient is largest",
        drop="smallest_magnitude",
        grow="highest_scores",
        redistribute="by_mean_score",
        fractions="less_of_nearly_full",
        schedule=cosine,
        final_fraction=0.005,
        hooks="snfs.MomentumHooks",
        defaults={"drop_fraction": 0.5, **_EVERY_EPOCH},
        fused="moves weights between matrices",
        stores="4 bytes a position: a momentum of all, dense",
        work="3 f_S + f_D",
    ),
    _Own(
        "snip",
        "begin dense, keep once the weights that matter most to the loss, before training",
        initial="dense",
        prepare="keep_salient",
        settings=SNIPSettings,
        fused=_SHARES_OUT,
        spread=_SHARES_OUT,
        stores="all positions once, before training",
        work="3 f_S, and 3 f_D for the windows before",
    ),
    _Own("static", "keep the first connections"),
    _Own(
        "small-dense",
        "a dense model of as many weights, not of as many FLOPs",
        initial="small",
        work="3 f_S, of the small model",
    ),
    _Own("dense", "keep every weight", initial="dense", stores="all positions", work="3 f_D"),
):
    register(_method)
