"""Models for PyTorch and SciPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from truesparse.errors import TruesparseError, need
from truesparse.export.layers import check_layers
from truesparse.layers.chain import EMBEDDING, Place
from truesparse.layers.output.spec import SquaredError
from truesparse.layers.parts import part
from truesparse.modelfile import StoredModel

_DESCRIPTION = ("vocabulary", "text", "labels")


def write_description(stored: StoredModel, folder: Path) -> None:
    """Write `model.json`: layers, vocabulary, and of a classifier what else its texts and classes are, as in
    the model file's document."""
    others = {key: stored.document[key] for key in _DESCRIPTION if key in stored.document}
    text = json.dumps({"model": stored.chain.to_document(), **others}, ensure_ascii=False)
    # what is no UTF-8, such as half a pair of surrogates under a key that nobody knows, as JSON's own escapes
    (folder / "model.json").write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_torch(stored: StoredModel, folder: Path) -> dict[str, Any]:
    """Write `model.pt`, a state dict of dense tensors for an `nn.Module` with the parts `embedding`
    (`nn.Embedding`), `lstm` (`nn.LSTM`, of both directions if the model is) or another cell's, `output`
    (`nn.Linear`) and for linear layers
    `linear.0` and so on; and `model.json`.

    Raises
    ------
    TruesparseError
        PyTorch has no such layer, or none with these sizes, or is not installed.
    """
    instead = "export to onnx or scipy"
    check_layers(stored, "parameters", "PyTorch has no module for", instead)
    chain = stored.chain
    body, rest = chain.split()
    ends = [number for number, place in enumerate(body) if place.directions]
    recurrent = body[ends[0] : ends[-1] + 1]
    first = recurrent[0]
    for place in recurrent:
        if (_kinds(place), place.output) != (_kinds(first), first.output):
            raise TruesparseError(
                f"PyTorch has no module for the layers {first.name} and {place.name} together, which are"
                f" not of one kind and size; {instead}"
            )
    arrays = {EMBEDDING: stored.matrices[EMBEDDING].to_dense()} if chain.tokens else {}
    for place in (*body, *rest):
        for end, layer in zip(("", "_reverse"), place.directions or (place,), strict=False):
            spec = layer.spec
            own = part(type(spec), "parameters")(layer, stored.matrices, stored.vectors)
            if place in recurrent:
                number = recurrent.index(place)
                arrays |= {f"{spec.TYPE}.{name}_l{number}{end}": array for name, array in own.items()}
            else:
                arrays |= {f"{place.name}.{name}": array for name, array in own.items()}
    weight, bias = stored.matrices[chain.output_matrix].to_dense(), stored.vectors["output.bias"]
    if isinstance(chain.head, SquaredError) and chain.head.mean:
        mean, scale = np.array(chain.head.mean, np.float32), np.array(chain.head.scale, np.float32)
        weight, bias = scale[:, None] * weight, scale * bias + mean  # says the numbers themselves
    arrays |= {"output.weight": weight, "output.bias": bias}
    torch = need("torch", "torch")
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, folder / "model.pt")
    write_description(stored, folder)
    return {}


def _kinds(place: Place) -> list[str]:
    """The types of the layers in it: one, or for two directions two."""
    return [layer.spec.TYPE for layer in place.directions or (place,)]


def write_scipy(stored: StoredModel, folder: Path) -> dict[str, Any]:
    """Write a file ``NAME.npz`` for `scipy.sparse.load_npz` for each matrix, `biases.npz` for `numpy.load`,
    and `model.json`."""
    import scipy.sparse

    for name, csr in stored.matrices.items():
        # SciPy has no indices of 16 bits
        matrix = scipy.sparse.csr_array((csr.data, csr.indices.astype(np.int32), csr.indptr), csr.shape)
        scipy.sparse.save_npz(folder / f"{name}.npz", matrix)
    np.savez(folder / "biases.npz", **stored.vectors)  # type: ignore[arg-type]
    write_description(stored, folder)
    return {}
