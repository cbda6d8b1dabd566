"""The first topology and the first numbers of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from truesparse.errors import UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.spec import Matrix, Vector
from truesparse.model.model import Model
from truesparse.sparse import Arena
from truesparse.topology import initial_counts, sample_pattern
from truesparse.topology.initial import Counts
from truesparse.topology.rows import rank_shares


@dataclass(frozen=True)
class TokenRows:
    """What the matrices of `ChainSpec.token_matrices` have of their own in a new model.

    Attributes
    ----------
    embedding_density : float, optional
        That of the embedding, in (0, 1]; the other matrices share what it leaves of all weights.
    rank_exponent : float
        How much more connections frequent tokens get; see `truesparse.topology.rows.rank_shares`.
    scale : float
        Their first weights are those of other matrices times this.
    """

    embedding_density: float | None = None
    rank_exponent: float = 0.0
    scale: float = 1.0


def random_model(
    chain: ChainSpec,
    density: float,
    rng: np.random.Generator,
    distribution: str = "uniform",
    gates: str = "fused",
    scale: float | None = None,
    tokens: TokenRows | None = None,
) -> Model:
    """Return a model with a random sparse topology and random weights.

    Parameters
    ----------
    chain : ChainSpec
    density : float
        Fraction of the positions of all matrices together that hold a weight, in (0, 1].
    rng : numpy.random.Generator
    distribution : {"uniform", "erdos-renyi"}
        How the weights are shared among the matrices; see `truesparse.topology.initial`.
    gates : {"fused", "separate"}
        Whether the gates of a matrix have one budget or one each.
    scale : float, optional
        See `draw_values`.
    tokens : TokenRows, optional
        What the rows of tokens have of their own.

    Raises
    ------
    UsageError
        If the density is out of range or would leave a matrix without a weight.
    """
    tokens = tokens or TokenRows()
    own = chain.own_densities(tokens.embedding_density)
    counts = initial_counts(chain.shapes, density, distribution, gates, own)
    exponents = dict.fromkeys(chain.token_matrices, tokens.rank_exponent) if tokens.rank_exponent else {}
    model = Model(chain, random_arena(chain.matrices, chain.vectors, counts, rng, exponents))
    draw_values(model, rng, scale, tokens.scale)
    return model


def model_like(chain: ChainSpec, other: Model, source: str) -> Model:
    """Return a model with the topology of another one; all its numbers are 0.

    Parameters
    ----------
    chain : ChainSpec
        Of the model; what leaves its matrices as they are, such as dropout, may differ from the other's.
    other : Model
    source : str
        What to call the other one.

    Raises
    ------
    UsageError
        The matrices of the two do not have the same names and sizes.
    """
    mine, theirs = _sizes(chain), _sizes(other.chain)
    for name in dict.fromkeys([*mine, *theirs]):
        here, there = mine.get(name, "missing"), theirs.get(name, "missing")
        if here != there:
            raise UsageError(
                f"{source} is no model like the one that was asked for: {name} is {there} there, {here} here"
                "; ask for the same layers and sizes"
            )
    patterns = {
        name: (matrix.pattern, matrix.blocks, matrix.group) for name, matrix in other.arena.matrices.items()
    }
    return Model(chain, Arena(patterns, {vector.name: vector.size for vector in chain.vectors}))


def _sizes(chain: ChainSpec) -> dict[str, str]:
    """What there is in each matrix and vector, in words."""
    sizes = {}
    for matrix in chain.matrices:
        shared = f" in groups of {matrix.group} rows" if matrix.group > 1 else ""
        sizes[matrix.name] = f"{matrix.shape[0]} x {matrix.shape[1]}{shared}"
    return sizes | {vector.name: f"{vector.size} numbers" for vector in chain.vectors}


def random_arena(
    matrices: Sequence[Matrix],
    vectors: Sequence[Vector],
    counts: Counts,
    rng: np.random.Generator,
    exponents: Mapping[str, float] | None = None,
) -> Arena:
    """Return an arena with a random topology of given numbers of weights; all numbers are 0.

    Parameters
    ----------
    matrices, vectors
        By their names in the arena.
    counts : dict of str to ndarray of int64
        For each matrix its weights, or those of each of its blocks. Where rows share their positions, as many
        as come nearest.
    rng : numpy.random.Generator
    exponents : mapping of str to float, optional
        Of matrices whose first rows get more connections; see `rank_shares`.
    """
    patterns = {}
    for matrix in matrices:
        (rows, columns), group, count = matrix.shape, matrix.group, counts[matrix.name]
        if group > 1:
            count = np.maximum(np.round(count.sum(keepdims=True) / group), 1).astype(np.int64)
        exponent = (exponents or {}).get(matrix.name)
        shares = None if exponent is None else rank_shares(rows // group, exponent, group)
        pattern = sample_pattern((rows // group, columns), count, rng, shares)
        patterns[matrix.name] = pattern, matrix.blocks, group
    return Arena(patterns, {vector.name: vector.size for vector in vectors})


def draw_values(
    model: Model, rng: np.random.Generator, scale: float | None = None, token_scale: float = 1.0
) -> None:
    """Draw every weight uniformly from ±scale / sqrt(density of its matrix) and set the biases.

    The division keeps the variance of a unit's input as in a dense network.

    Parameters
    ----------
    model : Model
        Its arena is modified in place.
    rng : numpy.random.Generator
    scale : float, optional
        Bound in a dense matrix; 1 / sqrt(units of the last recurrent layer) if left out, or of linear layers
        alone sqrt(6 / inputs).
    token_scale : float
        Matrices of tokens have this times the bound.

    References
    ----------
    He et al., "Delving deep into rectifiers", 2015, equation 10: a variance of 2 / inputs.
    """
    arena, own = model.arena, model.chain.feed_forward and scale is None
    if scale is None:
        scale = model.chain.units**-0.5
    tokens = model.chain.token_matrices
    for name, matrix in arena.matrices.items():
        bound = (np.sqrt(6 / matrix.shape[1]) if own else scale) / np.sqrt(matrix.density)
        bound *= token_scale if name in tokens else 1.0
        matrix.data[...] = rng.uniform(-bound, bound, matrix.nnz)
    for vector in model.chain.vectors:
        values = arena.biases[vector.name]
        if vector.drawn:
            values[...] = rng.uniform(-scale, scale, vector.size)
        elif vector.gates:
            first = np.array([[vector.first.get(gate, 0.0)] for gate in vector.gates])
            values.reshape(len(vector.gates), -1)[...] = first
        else:
            values.fill(0)
    arena.touch()
