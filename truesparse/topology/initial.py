"""Initial topologies: how many weights each matrix gets, and where they lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import UsageError
from truesparse.settings import check_choice, joined
from truesparse.sparse.pattern import Pattern, narrow_index_dtype
from truesparse.topology.rows import row_quotas, shared_quotas
from truesparse.topology.settings import DISTRIBUTIONS, GATES

# name, (rows, cols), number of equal row blocks stacked in the matrix
Shape = tuple[str, tuple[int, int], int]
Counts = dict[str, NDArray[np.int64]]


def uniform_counts(shapes: Sequence[Shape], density: float, gates: str = "fused") -> Counts:
    """Give every matrix the same density.

    Parameters
    ----------
    shapes : sequence of (name, (rows, cols), blocks)
        The matrices; `blocks` equal blocks of rows are stacked in each (4 for the gates of an LSTM, else 1).
    density : float
        Fraction of all positions that hold a weight, in (0, 1].
    gates : {"fused", "separate"}
        Whether a stacked matrix has one budget or each of its blocks its own.

    Returns
    -------
    dict of str to ndarray of int64
        For each matrix its count, shape (1,), or with separate gates one count per block, shape (blocks,).
        They add up to `round(density * positions)` exactly, by largest remainders.

    Raises
    ------
    UsageError
        If the density lies outside (0, 1], or would leave a matrix without a weight.
    """
    return _counts(shapes, density, gates, _uniform)


def erdos_renyi_counts(shapes: Sequence[Shape], density: float, gates: str = "fused") -> Counts:
    r"""Give larger matrices lower densities, :math:`\epsilon (rows + cols) / (rows \cdot cols)`.

    Epsilon is solved so that the densities average to `density`. A matrix that would exceed density 1 is made
    dense, and epsilon solved again for the others, so that the total is met.

    Parameters
    ----------
    shapes, density, gates
        As for `uniform_counts`.

    Returns
    -------
    dict of str to ndarray of int64
        As for `uniform_counts`.

    Raises
    ------
    UsageError
        As for `uniform_counts`.

    References
    ----------
    D. C. Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity
    inspired by network science", 2018, equation 2 (the form). U. Evci et al., "Rigging the lottery: making
    all tickets winners", 2020 (solved for a density, with caps).
    """
    return _counts(shapes, density, gates, _erdos_renyi)


def erdos_renyi_epsilon_counts(shapes: Sequence[Shape], epsilon: float, gates: str = "fused") -> Counts:
    """Give every matrix `epsilon * (rows + cols)` weights, rounded, and at most all of its positions.

    Parameters
    ----------
    shapes, gates
        As for `uniform_counts`.
    epsilon : float
        Weights per row and column, above 0.

    Returns
    -------
    dict of str to ndarray of int64
        As for `uniform_counts`, except that the total is what epsilon makes it.

    Raises
    ------
    UsageError
        If epsilon is not above 0, or would leave a matrix without a weight.

    References
    ----------
    S. Liu, I. Ni'mah, V. Menkovski, D. C. Mocanu and M. Pechenizkiy, "Efficient and effective training of
    sparse recurrent neural networks", 2021, equation 4.
    """
    if not 0 < epsilon < math.inf:
        raise UsageError(f"epsilon must be above 0, not {epsilon}")
    items = _items(shapes, gates)
    counts = np.array([min(round(epsilon * (rows + cols)), rows * cols) for _, rows, cols in items])
    if counts.min() < 1:
        name, rows, cols = items[int(counts.argmin())]
        enough = _round_up(1 / (rows + cols))
        raise UsageError(f"epsilon {epsilon:g} leaves {name} without a weight; use at least {enough:g}")
    return _by_name(items, counts)


_DISTRIBUTIONS = dict(zip(DISTRIBUTIONS, (uniform_counts, erdos_renyi_counts), strict=True))


def initial_counts(
    shapes: Sequence[Shape],
    density: float,
    distribution: str = "uniform",
    gates: str = "fused",
    own: Mapping[str, float] | None = None,
) -> Counts:
    """Share out the weights of a model over its matrices by a distribution given by name.

    Parameters
    ----------
    shapes, density, gates
        As for `uniform_counts`.
    distribution : {"uniform", "erdos-renyi"}
    own : mapping of str to float, optional
        Matrices that have densities of their own; the others share what these leave of all weights.

    Returns
    -------
    dict of str to ndarray of int64
        As for `uniform_counts`.

    Raises
    ------
    UsageError
        If the distribution is unknown, or as for `uniform_counts`; or if the matrices with densities of their
        own leave the others no weight, or more than they have positions.
    """
    check_choice("distribution", distribution, DISTRIBUTIONS)
    share_out = _DISTRIBUTIONS[distribution]
    if not own:
        return share_out(shapes, density, gates)
    counts: Counts = {}
    for shape in shapes:
        if shape[0] in own:
            counts |= uniform_counts([shape], own[shape[0]], gates)
    others = [shape for shape in shapes if shape[0] not in own]
    taken, room = sum(int(count.sum()) for count in counts.values()), _positions(others)
    left = round(density * _positions(shapes)) - taken
    if not 0 < left <= room:
        raise UsageError(
            f"density {density:g} is {left + taken:,} weights; {joined(own, 'and')} would have {taken:,} of"
            f" them, and the other matrices have {room:,} positions; change the density of one of the two"
        )
    counts |= share_out(others, left / room, gates)
    return {name: counts[name] for name, _, _ in shapes}


def _positions(shapes: Sequence[Shape]) -> int:
    return sum(rows * cols for _, (rows, cols), _ in shapes)


def sample_pattern(
    shape: tuple[int, int],
    counts: int | NDArray[np.int64],
    rng: np.random.Generator,
    shares: NDArray[np.float64] | None = None,
) -> Pattern:
    """Draw a pattern uniformly among all that have the given number of entries, or of a share in each row.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    counts : int or ndarray of int64, shape (blocks,)
        How many entries, or how many in each of `blocks` equal blocks of rows.
    rng : numpy.random.Generator
        Advanced by the same amount for any number of threads, which do not change the result either.
    shares : ndarray of float64, shape (rows,), optional
        Each row of a single block gets entries in proportion to this number, and at most one a column.

    Returns
    -------
    Pattern

    Raises
    ------
    UsageError
        If a block has fewer positions than it is to hold.

    Notes
    -----
    Without shares the entries of each row are a multivariate hypergeometric draw; the columns within a row
    are a uniform one. Takes memory in proportion to the entries, 6 bytes each.
    """
    from truesparse.kernels.topology import grow_rows

    rows, cols = shape
    counts = np.atleast_1d(np.asarray(counts, dtype=np.int64))
    block = rows // counts.size
    if block * counts.size != rows:
        raise UsageError(f"{rows} rows cannot be cut into {counts.size} equal blocks")
    empty = np.full(block, cols)
    indptr = np.zeros(rows + 1, dtype=np.int64)
    if shares is None:
        quotas = np.concatenate([row_quotas(empty, int(count), rng) for count in counts])
    else:
        quotas = shared_quotas(empty, int(counts.sum()), shares, rng)
    np.cumsum(quotas, out=indptr[1:])
    no_indices = np.empty(0, dtype=narrow_index_dtype(cols))
    indices, _ = grow_rows(
        indptr, np.zeros_like(indptr), no_indices, np.empty(0, dtype=bool), cols, draw_seed(rng)
    )
    return Pattern(indptr, indices, shape)


def draw_seed(rng: np.random.Generator) -> np.uint64:
    """Draw the seed of a counter-based generator."""
    return rng.integers(2**64, dtype=np.uint64)


Item = tuple[str, int, int]  # what has a budget of its own: name, rows, cols


def _items(shapes: Sequence[Shape], gates: str) -> list[Item]:
    check_choice("gates", gates, GATES)
    items = []
    for name, (rows, cols), blocks in shapes:
        parts = blocks if gates == "separate" else 1
        items += [(name, rows // parts, cols)] * parts
    return items


def _by_name(items: Sequence[Item], counts: NDArray[np.int64]) -> Counts:
    names = np.array([name for name, _, _ in items])
    return {name: counts[names == name] for name in dict.fromkeys(names.tolist())}


def _counts(
    shapes: Sequence[Shape],
    density: float,
    gates: str,
    distribution: Callable[[Sequence[Item], float], NDArray[np.float64]],
) -> Counts:
    """Exact counts for the densities that `distribution(items, density)` gives the items."""
    if not 0 < density <= 1:
        raise UsageError(f"the density must lie above 0 and be at most 1, not {density}")
    if not shapes:
        raise UsageError("the model has no sparse matrix; add a layer, or let the output layer be sparse")
    items = _items(shapes, gates)
    sizes = np.array([rows * cols for _, rows, cols in items])

    def counts_at(density: float) -> NDArray[np.int64]:
        return largest_remainders(distribution(items, density) * sizes, round(density * int(sizes.sum())))

    counts = counts_at(density)
    if counts.min() < 1:
        name = items[int(counts.argmin())][0]
        enough = _lowest(lambda d: counts_at(d).min() >= 1, density)
        raise UsageError(f"density {density:g} leaves {name} without a weight; use at least {enough:g}")
    return _by_name(items, counts)


def _uniform(items: Sequence[Item], density: float) -> NDArray[np.float64]:
    return np.full(len(items), density)


def _erdos_renyi(items: Sequence[Item], density: float) -> NDArray[np.float64]:
    rows, cols = np.array([item[1:] for item in items], dtype=np.float64).T
    sizes, raw = rows * cols, (rows + cols) / (rows * cols)
    dense = np.zeros(len(items), dtype=bool)
    while not dense.all():
        epsilon = (density * sizes.sum() - sizes[dense].sum()) / (rows + cols)[~dense].sum()
        highest = raw[~dense].max()
        if epsilon * highest <= 1:
            break
        dense |= raw == highest
    return np.where(dense, 1.0, epsilon * raw)


def largest_remainders(quotas: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Round quotas so that they add up to a total.

    Parameters
    ----------
    quotas : ndarray of float64, shape (n,)
        Add up to `total`, but for rounding.
    total : int

    Returns
    -------
    ndarray of int64, shape (n,)
        Those with the largest remainders are rounded up, the others down.
    """
    counts = np.floor(quotas).astype(np.int64)
    order = np.argsort(counts - quotas, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts


def _lowest(works: Callable[[float], bool], fails: float) -> float:
    """Find, to three digits, the lowest density above `fails` that works."""
    enough = 1.0
    for _ in range(50):
        middle = (fails + enough) / 2
        if works(middle):
            enough = middle
        else:
            fails = middle
    enough = _round_up(enough)
    while not works(enough):  # rounding makes counts jump a little as density grows
        enough = _round_up(enough * 1.01)
    return enough


def _round_up(number: float) -> float:
    """Round a positive number up to three significant digits."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 2)
    return float(f"{math.ceil(number / unit - 1e-9) * unit:.3g}")
