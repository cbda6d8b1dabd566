"""The model that a run begins with: a random one, or one with the connections of a model that there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.modelfile import container, find_model
from truesparse.topology import erdos_renyi_epsilon_counts, get_method, initial_counts
from truesparse.topology.initial import Counts
from truesparse.training.config import Config
from truesparse.training.state import make_generators
from truesparse.training.tokens import embedding_density, token_rows

if TYPE_CHECKING:
    from truesparse.model import Model, SavedModel
    from truesparse.sparse import SparseMatrix

ReadsLike = Callable[["SavedModel"], bool]

_CLOSE = 0.005  # densities that are the same but for rounding to connections


def wanted_density(config: Config, chain: ChainSpec) -> float:
    """Return the fraction of the positions of a model that are to hold a weight.

    Parameters
    ----------
    config : Config
        Filled in (`Config.filled`).
    chain : ChainSpec

    Raises
    ------
    UsageError
        The epsilon would leave a matrix without a weight.
    """
    if config.er_epsilon is None:
        return config.density
    counts = erdos_renyi_epsilon_counts(chain.shapes, config.er_epsilon, config.gates)
    return sum(int(count.sum()) for count in counts.values()) / chain.dense_parameters


def first_model(
    config: Config, chain: ChainSpec, rng: np.random.Generator, reads_like: ReadsLike = lambda saved: True
) -> Model:
    """Return the model that a run begins with, before its method chooses any weights.

    Parameters
    ----------
    config : Config
        Filled in.
    chain : ChainSpec
        What the model is, after the method has made it smaller.
    rng : numpy.random.Generator
        Draws topology and weights.
    reads_like : callable
        Whether a saved model was made for the run's tokens and labels.

    Raises
    ------
    UsageError, TruesparseError
        The density would leave a matrix without a weight, or lies above that at which the method begins; or
        there is no model to begin with, or not one of this run's sizes, density and vocabulary.
    """
    from truesparse.model import random_model

    if config.start_topology is not None:
        return _started(config, chain, rng, reads_like)
    method, density = get_method(config.method), 1.0
    sparse = method.initial == "sparse"
    if sparse:
        density = method.first_density(config.settings_of("method"), wanted_density(config, chain))
    own = token_rows(config, sparse)
    return random_model(chain, density, rng, config.distribution, config.gates, config.init_scale, own)


def wanted_counts(config: Config, chain: ChainSpec) -> Counts:
    """Return how many weights each matrix of a model is to have in the end; see `wanted_density`."""
    own = chain.own_densities(embedding_density(config))
    return initial_counts(chain.shapes, wanted_density(config, chain), config.distribution, config.gates, own)


def _started(config: Config, chain: ChainSpec, rng: np.random.Generator, reads_like: ReadsLike) -> Model:
    """A model with the connections of another one, and the values that the configuration asks for."""
    from truesparse.model import draw_values
    from truesparse.model.initial import model_like
    from truesparse.model.loading import read_saved

    assert config.start_topology is not None
    path = find_model(Path(config.start_topology))
    with container.Reader(path) as reader:
        saved, history = read_saved(reader), reader.document.get("config")
    if not reads_like(saved):
        raise UsageError(
            f"{path} was made for another vocabulary or other labels than the data have"
            "; give --data what it was trained on, or another --start-topology"
        )
    model = model_like(chain, saved.model, str(path))
    _check_density(config, model, path)
    if config.start_values == "last":
        saved.check_finite()
        model.arena.values[...] = saved.model.arena.values
        model.arena.touch()
        return model
    draw_values(model, rng, config.init_scale, token_rows(config).scale)
    if config.start_values == "first":
        _take_values(model, _began_with(saved, history, type(config)))
    return model


def _check_density(config: Config, model: Model, path: Path) -> None:
    """Raise UsageError if a configuration asks for another density than a model has."""
    if config.density is None and config.er_epsilon is None:
        return
    wanted = wanted_density(config, model.chain)
    if abs(wanted - model.density) > _CLOSE * model.density:
        given = "--density" if config.er_epsilon is None else "--er-epsilon"
        raise UsageError(
            f"{given} asks for a density of {wanted:.4g}, but {path}, which --start-topology takes, has"
            f" {model.density:.4g}; leave {given} out"
        )


def _began_with(saved: SavedModel, history: Any, kind: type[Config]) -> Model:
    """The first model of the run that made a saved model, drawn again from its configuration and seed."""
    other = "; use --start-values fresh or last"
    if not isinstance(history, Mapping):
        raise UsageError(
            f"{saved.path} does not say how its training began, so nobody knows its first values{other}"
        )
    try:
        config = kind.from_dict(dict(history)).filled()
    except UsageError as error:
        raise TruesparseError(
            f"{saved.path} is of a run whose first values cannot be drawn again: {error}{other}"
        ) from None
    if get_method(config.method).prepare is not None:
        raise UsageError(
            f"{saved.path} is of a run with --method {config.method}, whose first values follow from its data"
            f"{other}"
        )
    if vars(config).get("vectors") is not None:
        raise UsageError(f"{saved.path} is of a run with --vectors, which are its first values{other}")
    return first_model(config, saved.model.chain, make_generators(config.seed)["initial"])


def _take_values(model: Model, first: Model) -> None:
    """Give a model the values that another one, of the same sizes, has at its positions, and the biases."""
    for name, matrix in model.arena.matrices.items():
        other = first.arena.matrices[name]
        _, mine, theirs = np.intersect1d(
            _places(matrix), _places(other), assume_unique=True, return_indices=True
        )
        weights = matrix.data.reshape(-1, matrix.group)
        weights[mine] = other.data.reshape(-1, matrix.group)[theirs]
    for name, vector in model.arena.biases.items():
        vector[...] = first.arena.biases[name]
    model.arena.touch()


def _places(matrix: SparseMatrix) -> NDArray[np.int64]:
    """For each connection its position, row times columns plus column, increasing."""
    rows, columns = matrix.pattern.shape
    row = np.repeat(np.arange(rows, dtype=np.int64), np.diff(matrix.indptr))
    return row * columns + matrix.indices
