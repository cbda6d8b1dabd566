"""An LSTM layer as parameters of PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR
from truesparse.layers.chain import Place

Array = NDArray[np.float32]


def lstm_parameters(
    place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]
) -> dict[str, Array]:
    """Those of a layer of `torch.nn.LSTM`, by their names without its number."""
    bias = vectors[f"{place.name}.bias"]
    return {
        "weight_ih": matrices[f"{place.name}.weight_ih"].to_dense(),
        "weight_hh": matrices[f"{place.name}.weight_hh"].to_dense(),
        "bias_ih": bias,
        "bias_hh": np.zeros_like(bias),  # PyTorch adds two biases
    }


def lstm_vectors(bias_ih: Array, bias_hh: Array) -> dict[str, Array]:
    """The layer's vectors, without its name, by the biases of `torch.nn.LSTM`."""
    return {"bias": bias_ih + bias_hh}
