"""Models for PyTorch and SciPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truesparse.errors import TruesparseError
from truesparse.modelfile import StoredModel

if TYPE_CHECKING:
    from types import ModuleType

_DESCRIPTION = ("model", "vocabulary", "text", "labels")


def write_description(stored: StoredModel, folder: Path) -> None:
    """Write `model.json`: sizes, vocabulary, and of a classifier what else its texts and classes are, as in
    the model file's document."""
    text = json.dumps(
        {key: stored.document[key] for key in _DESCRIPTION if key in stored.document}, ensure_ascii=False
    )
    # what is no UTF-8, such as half a pair of surrogates under a key that nobody knows, as JSON's own escapes
    (folder / "model.json").write_text(text, encoding="utf-8", errors="backslashreplace")


def write_torch(stored: StoredModel, folder: Path) -> dict[str, Any]:
    """Write `model.pt`, a state dict of dense tensors for an `nn.Module` with the parts `embedding`
    (`nn.Embedding`), `lstm` (`nn.LSTM`) and `output` (`nn.Linear`); and `model.json`.

    Raises
    ------
    TruesparseError
        PyTorch has no such cell, or is not installed.
    """
    if stored.architecture.cell != "lstm":
        raise TruesparseError(
            f"PyTorch has no module for the cell {stored.architecture.cell}; export to onnx or scipy"
        )
    torch = need("torch", "torch")
    dense = {name: csr.to_dense() for name, csr in stored.matrices.items()}
    arrays = {"embedding.weight": dense["embedding.weight"]}
    for layer, name in enumerate(stored.architecture.layer_names):
        bias = stored.biases[f"{name}.bias"]
        arrays |= {
            f"lstm.weight_ih_l{layer}": dense[f"{name}.weight_ih"],
            f"lstm.weight_hh_l{layer}": dense[f"{name}.weight_hh"],
            f"lstm.bias_ih_l{layer}": bias,
            f"lstm.bias_hh_l{layer}": np.zeros_like(bias),  # PyTorch adds two biases
        }
    arrays["output.weight"] = dense["embedding.weight" if stored.architecture.tied else "output.weight"]
    arrays["output.bias"] = stored.biases["output.bias"]
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, folder / "model.pt")
    write_description(stored, folder)
    return {}


def write_scipy(stored: StoredModel, folder: Path) -> dict[str, Any]:
    """Write a file ``NAME.npz`` for `scipy.sparse.load_npz` for each matrix, `biases.npz` for `numpy.load`,
    and `model.json`."""
    import scipy.sparse

    for name, csr in stored.matrices.items():
        # SciPy has no indices of 16 bits
        matrix = scipy.sparse.csr_array((csr.data, csr.indices.astype(np.int32), csr.indptr), csr.shape)
        scipy.sparse.save_npz(folder / f"{name}.npz", matrix)
    np.savez(folder / "biases.npz", **stored.biases)  # type: ignore[arg-type]
    write_description(stored, folder)
    return {}


def need(module: str, package: str) -> ModuleType:
    """Import a module that is not installed with truesparse.

    Raises
    ------
    TruesparseError
        It is not installed.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise TruesparseError(f"{package} is not installed; run pip install {package}") from None
