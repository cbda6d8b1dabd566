"""Cannistraci-Hebb training: weights grow where many paths of three others lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from truesparse.sparse.pattern import narrow_index_dtype
from truesparse.topology.grow import with_positions
from truesparse.topology.initial import draw_seed

if TYPE_CHECKING:
    from truesparse.sparse.rewiring import Rewired
    from truesparse.topology.drop import Keep
    from truesparse.topology.update import Part, Update

_ROUNDS = 10  # of draws, each for what is missing yet; what is left then is grown anywhere


def path_ends(part: Part, keep: Keep, count: int, update: Update) -> Rewired:
    """Grow `count` entries at empty positions, drawn in proportion to their paths through the entries that
    stay.

    A path of three entries counts less the more entries the column and the row on its way have; see
    `truesparse.kernels.paths.draw_path_ends`. Where paths lead to too few positions, the rest is drawn
    uniformly. See `truesparse.topology.grow.random_positions` for parameters and result.

    Notes
    -----
    The scores of all positions are never formed. Besides the result 8 bytes for each entry that stays and 16
    for each to grow.

    References
    ----------
    Y. Zhang, D. Cerretti, J. Zhao et al., "Brain network science modelling of sparse neural networks enables
    Transformers and LLMs to perform as fully connected", 2025: soft growth, by scores that have, in the place
    of degrees, numbers of neighbours on and off the paths between two nodes, which differ for every position.
    """
    return with_positions(part, keep, _drawn(part, keep, count, update.rng), count, update)


def _drawn(part: Part, keep: Keep, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Up to `count` empty positions, increasing."""
    from truesparse.kernels.paths import draw_path_ends
    from truesparse.kernels.topology import count_kept
    from truesparse.kernels.transpose import transpose_index

    (rows, columns), indices = part.shape, part.indices[keep]
    positions = np.empty(0, np.int64)
    if not indices.size:
        return positions
    kept, indptr = np.empty(rows, np.int64), np.zeros(rows + 1, np.int64)
    count_kept(kept, part.indptr, keep)
    np.cumsum(kept, out=indptr[1:])
    t_indptr, t_indices = np.empty(columns + 1, np.int64), np.empty(indices.size, narrow_index_dtype(rows))
    transpose_index(t_indptr, t_indices, np.empty(indices.size, np.int32), indptr, indices, rows)
    longest = int(kept.max()), int(np.diff(t_indptr).max())
    for _ in range(_ROUNDS):
        if positions.size == count:
            break
        ends = np.empty(count - positions.size, np.int64)
        draw_path_ends(ends, indptr, indices, t_indptr, t_indices, *longest, draw_seed(rng))
        positions = np.union1d(positions, ends[ends >= 0])
    return positions
