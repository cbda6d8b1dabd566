"""The model that a configuration asks for, as it is before training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from truesparse.topology import erdos_renyi_epsilon_counts, get_method
from truesparse.training.config import Config

if TYPE_CHECKING:
    from truesparse.nn import LanguageModel, LanguageModelSpec


def requested_spec(config: Config, vocab_size: int) -> LanguageModelSpec:
    """Return the sizes that a configuration asks for.

    A method may make the model smaller; its work is still compared with that of a dense model of these sizes.

    Parameters
    ----------
    config : Config
    vocab_size : int

    Raises
    ------
    UsageError
        Sizes do not fit each other.
    """
    from truesparse.nn import LanguageModelSpec

    return LanguageModelSpec(
        vocab_size=vocab_size,
        embedding_size=config.embedding_size or config.hidden_size,
        hidden_size=config.hidden_size,
        layers=config.layers,
        tied=config.tied,
        cell=config.cell,
        depth=config.depth or 1,
    )


def wanted_density(config: Config, spec: LanguageModelSpec) -> float:
    """Return the fraction of the positions of a model that are to hold a weight.

    Parameters
    ----------
    config : Config
        Filled in (`Config.filled`).
    spec : LanguageModelSpec

    Raises
    ------
    UsageError
        The epsilon would leave a matrix without a weight.
    """
    if config.er_epsilon is None:
        return config.density
    counts = erdos_renyi_epsilon_counts(spec.shapes, config.er_epsilon, config.gates)
    return sum(int(count.sum()) for count in counts.values()) / spec.dense_parameters


def build_model(config: Config, vocab_size: int, rng: np.random.Generator) -> LanguageModel:
    """Return the model of a new run.

    Parameters
    ----------
    config : Config
        Filled in (`Config.filled`).
    vocab_size : int
    rng : numpy.random.Generator
        Draws topology and weights.

    Returns
    -------
    LanguageModel

    Raises
    ------
    UsageError
        Sizes do not fit each other, or the density would leave a matrix without a weight.
    """
    from truesparse.nn import build_language_model

    initial = get_method(config.method).initial
    spec = requested_spec(config, vocab_size)
    if initial == "small":
        spec = spec.with_parameters(round(wanted_density(config, spec) * spec.dense_parameters))
    return build_language_model(
        spec,
        wanted_density(config, spec) if initial == "sparse" else 1.0,
        rng,
        distribution=config.distribution,
        gates=config.gates,
        scale=config.init_scale,
        gate_bias=gate_bias(config),
    )


def gate_bias(config: Config) -> dict[str, float]:
    """What the biases of gates start with, where it is not the cell's own choice."""
    return {} if config.transform_bias is None else {"t": config.transform_bias}
