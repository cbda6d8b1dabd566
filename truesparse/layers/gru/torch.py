"""A layer of gated recurrent units as parameters of PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR
from truesparse.errors import TruesparseError
from truesparse.layers.chain import Place
from truesparse.layers.gru.spec import GRU

Array = NDArray[np.float32]


def gru_parameters(
    place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]
) -> dict[str, Array]:
    """Those of a layer of `torch.nn.GRU`, by their names without its number.

    Raises
    ------
    TruesparseError
        The reset gate comes before the product.
    """
    assert isinstance(place.spec, GRU)
    if place.spec.reset_gate == "before":
        raise TruesparseError(
            f"PyTorch has no module for the layer {place.name}, whose reset gate comes before the product"
            f"; export to onnx or scipy"
        )
    name, units = place.name, place.output.size
    return {
        "weight_ih": matrices[f"{name}.weight_ih"].to_dense(),
        "weight_hh": matrices[f"{name}.weight_hh"].to_dense(),
        "bias_ih": vectors[f"{name}.bias"],
        "bias_hh": np.concatenate((np.zeros(2 * units, np.float32), vectors[f"{name}.bias_hn"])),
    }


def gru_vectors(bias_ih: Array, bias_hh: Array) -> dict[str, Array]:
    """The layer's vectors, without its name, by the biases of `torch.nn.GRU`."""
    last = 2 * len(bias_ih) // 3
    return {"bias": np.append(bias_ih[:last] + bias_hh[:last], bias_ih[last:]), "bias_hn": bias_hh[last:]}
