"""The first topology and the first numbers of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from truesparse.nn.cell import MatrixShape
from truesparse.nn.spec import CELLS, RecurrentSpec
from truesparse.sparse import Arena
from truesparse.topology import initial_counts, sample_pattern
from truesparse.topology.initial import Counts


def random_arena(
    spec: RecurrentSpec, density: float, rng: np.random.Generator, distribution: str, gates: str
) -> Arena:
    """Return the arena of a model with a random topology; all numbers are 0.

    Parameters
    ----------
    spec : RecurrentSpec
    density : float
        Fraction of the positions of all matrices together that hold a weight, in (0, 1].
    rng : numpy.random.Generator
    distribution : {"uniform", "erdos-renyi"}
        How the weights are shared among the matrices; see `truesparse.topology.initial`.
    gates : {"fused", "separate"}
        Whether the gates of a matrix have one budget or one each.

    Raises
    ------
    UsageError
        If the density is out of range or would leave a matrix without a weight.
    """
    counts = initial_counts(spec.shapes, density, distribution, gates)
    return draw_arena(spec.shapes, spec.groups, spec.bias_sizes, counts, rng)


def draw_arena(
    shapes: Sequence[MatrixShape],
    groups: Mapping[str, int],
    biases: Mapping[str, int],
    counts: Counts,
    rng: np.random.Generator,
) -> Arena:
    """Return the arena of a model with a random topology of given numbers of weights; all numbers are 0.

    Parameters
    ----------
    shapes, groups, biases
        As a `RecurrentSpec` has them, `biases` being its `bias_sizes`.
    counts : dict of str to ndarray of int64
        For each matrix its weights, or those of each of its blocks. Where rows share their positions, as many
        as come nearest.
    rng : numpy.random.Generator
    """
    patterns = {}
    for name, (rows, columns), blocks in shapes:
        group, count = groups[name], counts[name]
        if group > 1:
            count = np.maximum(np.round(count.sum(keepdims=True) / group), 1).astype(np.int64)
        patterns[name] = sample_pattern((rows // group, columns), count, rng), blocks, group
    return Arena(patterns, biases)


def initialise(
    arena: Arena,
    spec: RecurrentSpec,
    rng: np.random.Generator,
    scale: float | None = None,
    gate_bias: Mapping[str, float] | None = None,
) -> None:
    """Draw every weight uniformly from ±scale / sqrt(density of its matrix) and set the biases.

    The division keeps the variance of a unit's input as in a dense network.

    Parameters
    ----------
    arena : Arena
        That of a model of `spec`; modified in place.
    spec : RecurrentSpec
    rng : numpy.random.Generator
    scale : float, optional
        Bound in a dense matrix; 1 / sqrt(hidden size) if left out.
    gate_bias : mapping of str to float, optional
        Biases of gates by their names in `Cell.GATES`; the others have the cell's own, mostly 0.
    """
    if scale is None:
        scale = spec.hidden_size**-0.5
    for matrix in arena.matrices.values():
        bound = scale / np.sqrt(matrix.density)
        matrix.data[...] = rng.uniform(-bound, bound, matrix.nnz)
    first = {**dict.fromkeys(spec.gates, 0.0), **CELLS[spec.cell].FIRST_BIAS, **(gate_bias or {})}
    for name, vector in arena.biases.items():
        if name == "output.weight":
            vector[...] = rng.uniform(-scale, scale, vector.size)
        elif name == "output.bias":
            vector.fill(0)
        else:
            vector.reshape(len(spec.gates), -1)[...] = np.array([[first[gate]] for gate in spec.gates])
    arena.touch()
