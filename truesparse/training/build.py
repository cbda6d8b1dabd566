"""The model that a configuration asks for, as it is before training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from truesparse.topology import erdos_renyi_epsilon_counts, get_method
from truesparse.training.config import Config

if TYPE_CHECKING:
    from truesparse.layers.chain import Chain
    from truesparse.model import Model
    from truesparse.training.task import Learning


def wanted_density(config: Config, chain: Chain) -> float:
    """Return the fraction of the positions of a model that are to hold a weight.

    Parameters
    ----------
    config : Config
        Filled in (`Config.filled`).
    chain : Chain

    Raises
    ------
    UsageError
        The epsilon would leave a matrix without a weight.
    """
    if config.er_epsilon is None:
        return config.density
    counts = erdos_renyi_epsilon_counts(chain.shapes, config.er_epsilon, config.gates)
    return sum(int(count.sum()) for count in counts.values()) / chain.dense_parameters


def build_model(task: Learning, rng: np.random.Generator) -> tuple[Model, float]:
    """Return the model of a new run, and what it took to choose its weights.

    Parameters
    ----------
    task : Learning
    rng : numpy.random.Generator
        Draws topology and weights.

    Returns
    -------
    model : Model
    flops : float
        Multiplications and additions; see `truesparse.training.saliency.keep_salient`.

    Raises
    ------
    UsageError
        The density would leave a matrix without a weight.
    """
    from truesparse.model import random_model
    from truesparse.training.saliency import keep_salient

    config, chain = task.config, task.chain
    initial = get_method(config.method).initial
    if initial == "small":
        chain = chain.with_parameters(round(wanted_density(config, chain) * chain.dense_parameters))
    model = random_model(
        chain,
        wanted_density(config, chain) if initial == "sparse" else 1.0,
        rng,
        distribution=config.distribution,
        gates=config.gates,
        scale=config.init_scale,
    )
    return model, keep_salient(model, task, rng) if initial == "salient" else 0.0
