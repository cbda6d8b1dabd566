"""The model that a configuration asks for, as it is before training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from truesparse.topology import get_method
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
        spec = spec.with_parameters(round(config.density * spec.dense_parameters))
    return build_language_model(
        spec,
        config.density if initial == "sparse" else 1.0,
        rng,
        distribution=config.distribution,
        gates=config.gates,
        scale=config.init_scale,
        gate_bias={} if config.transform_bias is None else {"t": config.transform_bias},
    )
