"""The model that a configuration asks for, as it is before training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from truesparse.topology import erdos_renyi_epsilon_counts, get_method
from truesparse.training.config import Config

if TYPE_CHECKING:
    from truesparse.nn.spec import RecurrentSpec
    from truesparse.training.task import Learning, Model


def wanted_density(config: Config, spec: RecurrentSpec) -> float:
    """Return the fraction of the positions of a model that are to hold a weight.

    Parameters
    ----------
    config : Config
        Filled in (`Config.filled`).
    spec : RecurrentSpec

    Raises
    ------
    UsageError
        The epsilon would leave a matrix without a weight.
    """
    if config.er_epsilon is None:
        return config.density
    counts = erdos_renyi_epsilon_counts(spec.shapes, config.er_epsilon, config.gates)
    return sum(int(count.sum()) for count in counts.values()) / spec.dense_parameters


def build_model(task: Learning, rng: np.random.Generator) -> tuple[Model, float]:
    """Return the model of a new run, and what it took to choose its weights.

    Parameters
    ----------
    task : Learning
    rng : numpy.random.Generator
        Draws topology and weights.

    Returns
    -------
    model : LanguageModel or SequenceModel
    flops : float
        Multiplications and additions; see `truesparse.training.saliency.keep_salient`.

    Raises
    ------
    UsageError
        The density would leave a matrix without a weight.
    """
    from truesparse.training.saliency import keep_salient

    config, spec = task.config, task.spec
    initial = get_method(config.method).initial
    if initial == "small":
        spec = spec.with_parameters(round(wanted_density(config, spec) * spec.dense_parameters))
    model = task.build(
        spec,
        wanted_density(config, spec) if initial == "sparse" else 1.0,
        rng,
        distribution=config.distribution,
        gates=config.gates,
        scale=config.init_scale,
        gate_bias=gate_bias(config),
    )
    return model, keep_salient(model, task, rng) if initial == "salient" else 0.0


def gate_bias(config: Config) -> dict[str, float]:
    """What the biases of gates start with, where it is not the cell's own choice."""
    return {} if config.transform_bias is None else {"t": config.transform_bias}
