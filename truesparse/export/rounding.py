"""What 8-bit weights cost: loss, and of a classifier accuracy, before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from truesparse.csr import CSR, group_places
from truesparse.errors import TruesparseError
from truesparse.export.quantise import dequantise, quantise
from truesparse.modelfile import StoredModel

if TYPE_CHECKING:
    from truesparse.model.loading import SavedModel


def cost_of_rounding(stored: StoredModel, data: Path | None) -> dict[str, Any]:
    """Measure a model on test data, as it is and with rounded weights.

    Parameters
    ----------
    stored : StoredModel
        With a sparse output layer.
    data : Path or None
        If None, what the run was trained on in whose folder the model lies. If that cannot be read, nothing
        is measured.

    Returns
    -------
    dict
        `loss` and `loss_int8`, nats a token or text, or None; of a classifier `accuracy` and `accuracy_int8`
        too, and of what predicts numbers `rmse` and `rmse_int8`; `loss_reason`, why they are None, or None.

    Raises
    ------
    UsageError, TruesparseError
        `data` cannot be read or is too short.
    """
    from truesparse.model.loading import load_model

    saved = load_model(stored.path)
    try:
        before = _measures(saved, data)
    except TruesparseError as error:
        if data is not None:
            raise
        return {"loss": None, "loss_int8": None, "loss_reason": str(error)}
    arena = saved.model.arena
    for name, csr in stored.matrices.items():
        rounded = dequantise(csr, quantise(csr)).data
        if name not in arena.matrices:  # weights of a dense output layer lie where biases do
            arena.biases[name][...] = rounded
            continue
        matrix = arena.matrices[name]
        grouped = CSR(matrix.indptr, matrix.indices, matrix.data, (matrix.indptr.size - 1, csr.shape[1]))
        _, places = group_places(grouped, matrix.group, matrix.row_steps)
        matrix.data[...] = rounded[places].ravel()
    arena.touch()
    after = {f"{name}_int8": value for name, value in _measures(saved, data).items()}
    return {**before, **after, "loss_reason": None}


def _measures(saved: SavedModel, data: Path | None) -> dict[str, float]:
    from truesparse.tasks.use import evaluate_saved  # needs kernels

    values = evaluate_saved(saved, data).values()
    return {name: values[name] for name in ("loss", "accuracy", "rmse") if name in values}
