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
    """Those of `torch.nn.Linear`, and what the activation learns, for which PyTorch has no module."""
    own = {vector.name.removeprefix(f"{place.name}."): vectors[vector.name] for vector in place.vectors}
    return {"weight": matrices[f"{place.name}.weight"].to_dense(), **own}
