"""All layers. A layer of your own is one more line here, or `register` in a script;
`truesparse.layers.parts` finds what computes it."""

from __future__ import annotations

from typing import TypeVar

from truesparse.errors import UsageError, unknown_name
from truesparse.layers.activity.spec import ActivityPenalty
from truesparse.layers.attention.spec import Attention
from truesparse.layers.bidirectional.spec import Bidirectional
from truesparse.layers.dropout.spec import Dropout, WordDropout
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.gru.spec import GRU
from truesparse.layers.layer_norm.spec import LayerNorm
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.mos.spec import MixtureOfSoftmaxes
from truesparse.layers.on_lstm.spec import ONLSTM
from truesparse.layers.output.spec import MaskedSoftmax, Softmax, SquaredError
from truesparse.layers.pool.spec import Pool
from truesparse.layers.positions.spec import Positions
from truesparse.layers.residual.spec import Residual
from truesparse.layers.rhn.spec import RHN
from truesparse.layers.spec import LayerSpec, Recurrent
from truesparse.layers.standardize.spec import Standardize
from truesparse.settings import shown

S = TypeVar("S", bound=type[LayerSpec])

LAYERS: dict[str, type[LayerSpec]] = {}
CELLS: list[str] = []  # names of the recurrent layers: the choices of ``--cell``


def register(spec: S) -> S:
    """Make a layer known to files, commands and exports. Also works as a decorator."""
    if not isinstance(spec, type) or not issubclass(spec, LayerSpec):
        raise UsageError(f"{shown(spec)} is no layer to register; give a subclass of LayerSpec")
    LAYERS[spec.TYPE] = spec
    if issubclass(spec, Recurrent) and spec.TYPE not in CELLS:
        CELLS.append(spec.TYPE)
    return spec


for _spec in (
    WordDropout,
    Embedding,
    Standardize,
    Dropout,
    ActivityPenalty,
    LSTM,
    GRU,
    RHN,
    ONLSTM,
    Bidirectional,
    Linear,
    Positions,
    LayerNorm,
    Attention,
    Residual,
    Pool,
    Softmax,
    MaskedSoftmax,
    SquaredError,
    MixtureOfSoftmaxes,
):
    register(_spec)


def layer_type(name: str) -> type[LayerSpec]:
    """The layer of a name.

    Raises
    ------
    UsageError
        There is none.
    """
    if name not in LAYERS:
        raise unknown_name("layer", name, LAYERS)
    return LAYERS[name]


def cells() -> dict[str, type[Recurrent]]:
    """The recurrent layers: the choices of ``--cell``."""
    return {name: spec for name, spec in LAYERS.items() if issubclass(spec, Recurrent)}
