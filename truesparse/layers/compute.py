"""Which class computes which layer in training; `truesparse.layers.registry`, which files use, needs none."""

from __future__ import annotations

from truesparse.errors import unknown_name
from truesparse.layers.chain import Place
from truesparse.layers.dropout.layer import DropoutLayer, WordDropoutLayer
from truesparse.layers.embedding.layer import EmbeddingLayer
from truesparse.layers.layer import Layer
from truesparse.layers.linear.layer import LinearLayer
from truesparse.layers.lstm.layer import LSTMLayer
from truesparse.layers.output.layer import HeadLayer
from truesparse.layers.output.softmax import SoftmaxLayer
from truesparse.layers.output.squared_error import SquaredErrorLayer
from truesparse.layers.pool.layer import PoolLayer
from truesparse.layers.rhn.layer import RHNLayer
from truesparse.sparse import Arena

LAYERS: dict[str, type[Layer]] = {
    "word-dropout": WordDropoutLayer,
    "embedding": EmbeddingLayer,
    "dropout": DropoutLayer,
    "lstm": LSTMLayer,
    "rhn": RHNLayer,
    "linear": LinearLayer,
    "pool": PoolLayer,
}
HEADS: dict[str, type[HeadLayer]] = {"softmax": SoftmaxLayer, "squared-error": SquaredErrorLayer}


def layer_of(place: Place, arena: Arena) -> Layer:
    """What computes a layer that is no head.

    Raises
    ------
    UsageError
        There is nothing that does.
    """
    if place.spec.TYPE not in LAYERS:
        raise unknown_name("layer", place.spec.TYPE, LAYERS)
    return LAYERS[place.spec.TYPE](place, arena)


def head_layer(place: Place, arena: Arena, matrix: str) -> HeadLayer:
    """What computes a head whose weights are the matrix of a name."""
    return HEADS[place.spec.TYPE](place, arena, matrix)
