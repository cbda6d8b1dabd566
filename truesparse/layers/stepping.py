"""Which class computes a step of which layer; NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping

from truesparse.csr import CSR
from truesparse.errors import TruesparseError
from truesparse.layers.chain import Place
from truesparse.layers.linear.step import LinearStep
from truesparse.layers.lstm.step import LSTMStep
from truesparse.layers.rhn.step import RHNStep
from truesparse.layers.step import Array, Step

STEPS: dict[str, type[Step]] = {"lstm": LSTMStep, "rhn": RHNStep, "linear": LinearStep}


def step_of(place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> Step:
    """What computes a step of a layer.

    Raises
    ------
    TruesparseError
        Nothing does.
    """
    if place.spec.TYPE not in STEPS:
        raise TruesparseError(f"the runtime has no layer {place.spec.TYPE}; export the model to another form")
    return STEPS[place.spec.TYPE](place, matrices, vectors)
