"""A model in numbers: shapes, weights, bytes and operations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truesparse.modelfile import Architecture
    from truesparse.nn.spec import RecurrentSpec
    from truesparse.sparse import Arena
    from truesparse.training.task import Model


def describe(spec: RecurrentSpec | Architecture, arena: Arena) -> dict[str, Any]:
    """Describe the matrices of a model and their totals.

    Parameters
    ----------
    spec : RecurrentSpec or Architecture
        Of the model.
    arena : Arena

    Returns
    -------
    dict
        `gates`: names of what is stacked in the matrices of the layers; `matrices`: one dict for each with
        `name`, `shape`, `group` (rows that share their positions), `nnz`, `density`, `density_per_gate` (one
        value where there are no gates), `bytes` (values and index), `flops` and `dense_flops` (of one token
        going forward: a multiplication and an addition for each weight; none for the lookup in an embedding
        that is not also the output layer, and none for the output layer of a classifier, which is used once a
        text); `total`: `nnz`, `dense_parameters`, `density`, `biases`, `bytes` (biases too), `flops`,
        `dense_flops`.
    """
    rows = []
    for name, matrix in arena.matrices.items():
        positions = math.prod(matrix.shape)
        used = _flops_per_weight(spec, name)
        rows.append(
            {
                "name": name,
                "shape": list(matrix.shape),
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
    nnz, dense = arena.nnz, spec.dense_parameters
    total = {
        "nnz": nnz,
        "dense_parameters": dense,
        "density": nnz / dense,
        "biases": biases,
        "bytes": sum(row["bytes"] for row in rows) + 4 * biases,
        "flops": sum(row["flops"] for row in rows),
        "dense_flops": sum(row["dense_flops"] for row in rows),
    }
    return {"gates": list(spec.gates), "matrices": rows, "total": total}


def flops_per_token(model: Model) -> int:
    """Multiplications and additions of one token going forward; see `describe`."""
    matrices = model.arena.matrices
    return sum(_flops_per_weight(model.spec, name) * matrix.nnz for name, matrix in matrices.items())


def dense_flops_per_token(spec: RecurrentSpec) -> int:
    """The same of a dense model."""
    return sum(_flops_per_weight(spec, name) * math.prod(shape) for name, shape, _ in spec.shapes)


def _flops_per_weight(spec: RecurrentSpec | Architecture, name: str) -> int:
    return 2 if spec.works_on_tokens(name) else 0
