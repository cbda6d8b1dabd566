"""What 8-bit weights cost: the loss before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from truesparse.errors import TruesparseError
from truesparse.export.quantise import dequantise, quantise
from truesparse.modelfile import CSR
from truesparse.training.checkpoint import load_model
from truesparse.training.use import evaluate_language_model


def losses(file: Path, data: Path | str | None) -> dict[str, Any]:
    """Measure a model on test text, as it is and with rounded weights.

    Parameters
    ----------
    file : Path
    data : Path or str or None
        The text it was trained on if None. If that cannot be read, nothing is measured.

    Returns
    -------
    dict
        `loss` and `loss_int8`, nats a token, or None; `loss_reason`, why they are None, or None.

    Raises
    ------
    UsageError, TruesparseError
        `data` cannot be read or is too short.
    """
    saved = load_model(file)
    try:
        before = evaluate_language_model(saved, data).loss
    except TruesparseError as error:
        if data is not None:
            raise
        return {"loss": None, "loss_int8": None, "loss_reason": str(error)}
    for matrix in saved.model.matrices.values():
        csr = CSR(matrix.indptr, matrix.indices, matrix.data, matrix.shape)
        matrix.data[...] = dequantise(csr, quantise(csr)).data
    saved.model.arena.touch()
    return {"loss": before, "loss_int8": evaluate_language_model(saved, data).loss, "loss_reason": None}
