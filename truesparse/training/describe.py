"""A model in numbers: shapes, weights, bytes and operations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truesparse.layers.chain import ChainSpec
    from truesparse.model import Model
    from truesparse.modelfile import Encoder
    from truesparse.sparse import Arena


def describe(chain: ChainSpec, arena: Arena, encoder: Encoder = None) -> dict[str, Any]:
    """Describe the matrices of a model and their totals.

    Parameters
    ----------
    chain : ChainSpec
    arena : Arena
    encoder : TextEncoder, TokenEncoder, SeriesEncoder or None

    Returns
    -------
    dict
        `gates`: names of what is stacked in any matrix; `matrices`: one dict for each with `name`, `shape`,
        `gates` (what is stacked in it), `group` (rows that share their positions), `nnz`, `density`,
        `density_per_gate` (one value where there are no gates), `bytes` (values and index), `flops` and
        `dense_flops` (of one token going forward: a multiplication and an addition for each weight; none for
        the lookup in an embedding that is not also the output layer, and none for the output layer of a
        classifier, which is used once a text); `total`: `nnz`,
        `dense_parameters`, `density`, `biases`, `linear` (of forecasts, coefficients),
        `bytes` (biases too), `flops`, `dense_flops`.
    """
    rows = []
    flops, gates = _flops_per_weight(chain), chain.gates
    for name, matrix in arena.matrices.items():
        positions = math.prod(matrix.shape)
        used = flops[name]
        rows.append(
            {
                "name": name,
                "shape": list(matrix.shape),
                "gates": list(gates.get(name, ())),
                "group": matrix.group,
                "nnz": matrix.nnz,
                "density": matrix.density,
                "density_per_gate": (matrix.block_nnz() * matrix.blocks / positions).tolist(),
                "bytes": matrix.data.nbytes + matrix.index_bytes,
                "flops": used * matrix.nnz,
                "dense_flops": used * positions,
            }
        )
    biases = sum(bias.size for bias in arena.biases.values())
    nnz, dense = arena.nnz, chain.dense_parameters
    total = {
        "nnz": nnz,
        "dense_parameters": dense,
        "density": nnz / dense,
        "biases": biases,
        "bytes": sum(row["bytes"] for row in rows) + 4 * biases,
        "flops": sum(row["flops"] for row in rows),
        "dense_flops": sum(row["dense_flops"] for row in rows),
    }
    if linear := getattr(encoder, "linear", ()):
        total["linear"] = len(linear)
    return {
        "gates": list(dict.fromkeys(gate for own in gates.values() for gate in own)),
        "matrices": rows,
        "total": total,
    }


def flops_per_token(model: Model) -> int:
    """Multiplications and additions of one token going forward; see `describe`."""
    return forward_flops(model.chain, {name: matrix.nnz for name, matrix in model.arena.matrices.items()})


def forward_flops(chain: ChainSpec, counts: Mapping[str, int]) -> int:
    """The same of a model with so many weights in each matrix."""
    flops = _flops_per_weight(chain)
    return sum(flops[name] * count for name, count in counts.items())


def dense_flops_per_token(chain: ChainSpec) -> int:
    """The same of a dense model."""
    return forward_flops(chain, {matrix.name: matrix.positions for matrix in chain.matrices})


def _flops_per_weight(chain: ChainSpec) -> dict[str, int]:
    """Of one token, for the weights of each matrix."""
    flops = {matrix.name: 2 if matrix.used == "step" else 0 for matrix in chain.matrices}
    if chain.output_matrix in flops:
        flops[chain.output_matrix] *= chain.head.copies
    return flops


def densities(arena: Arena) -> dict[str, Any]:
    """`density` of each matrix, and `density_per_gate` of those that are stacked."""
    return {
        "density": {name: matrix.density for name, matrix in arena.matrices.items()},
        "density_per_gate": {
            name: (matrix.block_nnz() * matrix.blocks / math.prod(matrix.shape)).tolist()
            for name, matrix in arena.matrices.items()
            if matrix.blocks > 1
        },
    }
