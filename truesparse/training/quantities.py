"""What training and inference take with each method: Tables 2 and 3 of the papers, for any model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.topology.method import Method
from truesparse.topology.methods import METHODS
from truesparse.training.describe import dense_flops_per_token, forward_flops
from truesparse.training.rundir import CONFIG, METRICS, read_metrics
from truesparse.training.toml import read_toml


class Plan(NamedTuple):
    """How long a run is.

    Attributes
    ----------
    steps, steps_per_epoch : int
    """

    steps: int
    steps_per_epoch: int


class Quantities(NamedTuple):
    """Multiplications and additions, relative to a dense model's.

    Attributes
    ----------
    training : float
        Of the whole training.
    inference : float
        Of a token going forward, with the model as it is in the end.
    """

    training: float
    inference: float


def quantities(
    chain: ChainSpec, counts: Mapping[str, int], plan: Plan, own: tuple[str, Mapping[str, Any]] | None = None
) -> dict[str, Quantities]:
    """What each method takes to come to a model.

    Parameters
    ----------
    chain : ChainSpec
    counts : mapping of str to int
        How many weights each matrix has in the end; methods that move weights between matrices are taken to
        keep these.
    plan : Plan
    own : (str, mapping), optional
        The settings of a method, by its name, in the place of its defaults.

    Returns
    -------
    dict of str to Quantities
        By the names of the methods; without a dense model that would have less than one unit, and without a
        method that takes units away where a model has none that can go.

    Notes
    -----
    A backward pass counts as two forward ones. `truesparse.training.loop` counts what a run really does by
    the same rule. Activations, softmax, dropout and the optimizer do not count.

    References
    ----------
    Liu, Ni'mah, Menkovski, Mocanu & Pechenizkiy, "Efficient and effective training of sparse recurrent neural
    networks", 2021, tables 2 and 3. Where a step computes the gradients of all positions others count
    ``2 f_S + f_D``; here it makes a whole sparse backward pass too, ``3 f_S + f_D``.
    """
    dense, sparse = dense_flops_per_token(chain), forward_flops(chain, counts)
    try:
        small: int | None = dense_flops_per_token(chain.with_parameters(sum(counts.values())))
    except UsageError:  # no dense model is so small
        small = None
    density = sum(counts.values()) / chain.dense_parameters
    found = {}
    for name, method in METHODS.items():
        settings = own[1] if own is not None and own[0] == name else method.defaults
        end: int | None = sparse
        if not method.ends_sparser:
            end = {"small": small, "dense": dense}.get(method.initial, sparse)
        if end is None or (method.units and not chain.hidden_units):
            continue
        first = max(settings[method.initial_setting], density) if method.initial_setting else 1.0
        begin = sparse + (dense - sparse) * (first - density) / max(1 - density, 1e-9)
        forward = _mean_forward(method, settings, begin, end, plan)
        work = 3 * forward + dense * _dense_steps(method, settings, plan)
        found[name] = Quantities(work / (3 * dense), end / dense)
    return found


def run_quantities(path: Path, chain: ChainSpec, counts: Mapping[str, int]) -> dict[str, Any]:
    """What a run has taken so far, and what each method takes to come to its model.

    Parameters
    ----------
    path : Path
        A folder, or a file of which nothing is known.
    chain, counts
        As in `quantities`, of its model.

    Returns
    -------
    dict
        `method`; `epochs`; `training_flops` and `relative_flops` of what the run has done; `methods`, what
        `quantities` says of as many epochs, empty of a model that is dense or smaller than was asked for.
        Empty if the path is no run's folder or has no record of an epoch.
    """
    if not all((path / name).is_file() for name in (METRICS, CONFIG)):
        return {}
    try:
        records = [record for record in read_metrics(path) if "relative_flops" in record]
        config = read_toml(path / CONFIG)
    except TruesparseError:
        return {}  # the rest of the model can be described
    method = METHODS.get(config.get("method", METHODS["st-rnn"].name))
    if not records or method is None:
        return {}
    last = records[-1]
    steps, epochs = (last[name + "s" * (last["kind"] == "end")] for name in ("step", "epoch"))
    methods = {}
    if method.initial != "small" and sum(counts.values()) < chain.dense_parameters:
        settings = {name: config.get(name, value) for name, value in method.defaults.items()}
        methods = quantities(chain, counts, Plan(steps, round(steps / epochs)), (method.name, settings))
    return {
        "method": method.name,
        "epochs": epochs,
        "training_flops": last["training_flops"],
        "relative_flops": last["relative_flops"],
        "methods": methods,
    }


def _interval(settings: Mapping[str, Any], plan: Plan) -> int:
    return settings.get("update_interval") or plan.steps_per_epoch


def _last(settings: Mapping[str, Any], plan: Plan) -> int:
    """The last step at which there may be an update."""
    return min(round(settings.get("update_end", 1.0) * plan.steps), plan.steps - 1)


def _mean_forward(method: Method, settings: Mapping[str, Any], begin: float, end: float, plan: Plan) -> float:
    """Mean over the steps: of a method that prunes little by little, by the cubic schedule."""
    interval = _interval(settings, plan)
    last = _last(settings, plan) // interval * interval
    if not method.shrinks or last == 0:
        return end
    left = (1 - np.arange(0, last + 1, interval) / last) ** 3
    lasts = np.full(left.size, interval)
    lasts[-1] = plan.steps - last
    return end + (begin - end) * float(left @ lasts) / plan.steps


def _dense_steps(method: Method, settings: Mapping[str, Any], plan: Plan) -> float:
    """The share of the steps that compute the gradients of all positions; each takes as much as a dense model
    going forward."""
    before = 3 * min(settings.get("saliency_windows", 0), plan.steps_per_epoch) / plan.steps
    observes, replaces = method.dense_gradients
    if observes:
        return 1.0
    return before + replaces * (_last(settings, plan) // _interval(settings, plan)) / plan.steps
