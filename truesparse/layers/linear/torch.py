"""A linear layer as parameters of PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR
from truesparse.layers.chain import Place

Array = NDArray[np.float32]


def linear_parameters(
    place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]
) -> dict[str, Array]:
    """Those of `torch.nn.Linear`; an activation has none."""
    name = place.name
    return {"weight": matrices[f"{name}.weight"].to_dense(), "bias": vectors[f"{name}.bias"]}
