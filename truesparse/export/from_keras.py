"""Models from Keras 3: what its layers and their arrays are here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from truesparse.errors import TruesparseError, UsageError
from truesparse.export.imported import Array, Dense, head_of
from truesparse.export.keras_file import NOTHING, POOLS, RECURRENT, Layer, read_layers, snake
from truesparse.layers.bidirectional.spec import DIRECTIONS, Bidirectional
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.gru.spec import GRU
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import ONE_DIRECTION
from truesparse.layers.pool.spec import Pool
from truesparse.layers.spec import LayerSpec, Recurrent

_KNOWN = "Embedding, LSTM, GRU, Bidirectional, Dense, Dropout and global pooling"
Made = list[tuple[LayerSpec, Mapping[str, Array]]]


def read_keras(path: Path, pooling: str | None = None, numbers: bool = False) -> Dense:
    """Read a model that Keras 3 has saved, whole or its weights.

    Parameters
    ----------
    path : Path
        A file ``.keras`` or ``.weights.h5``. Of the latter, functions of activation are taken to be Keras's
        usual ones, and the layers of one kind to follow each other: embedding, recurrent layers, one dense
        layer.
    pooling, numbers
        See `truesparse.export.imported.read_dense`; only for ``.weights.h5``.

    Raises
    ------
    UsageError, TruesparseError
        h5py is not installed, the file cannot be read, or it has a layer that truesparse cannot express.
    """
    layers, loss = read_layers(path)
    for flag, given in (("--pooling", pooling is not None), ("--numbers", numbers)):
        if given and layers and layers[0].config is not None:
            raise UsageError(f"{flag} is for weights alone, and {path} says more than that; leave it out")
    return _as_dense(layers, str(path), loss, pooling, numbers)


def _as_dense(layers: list[Layer], source: str, loss: str, pooling: str | None, numbers: bool) -> Dense:
    """The layers of truesparse."""
    known = bool(layers) and layers[0].config is not None
    layers = [layer for layer in layers if layer.kind not in NOTHING]
    activation = ""
    if layers and layers[-1].kind in ("activation", "softmax"):
        activation = layers[-1].setting("activation", "softmax")
        layers = layers[:-1]
    if not layers or layers[-1].kind != "dense":
        raise TruesparseError(f"{source} does not end with a Dense layer, which says what it is for")
    *body, last = layers
    made: Made = []
    features = tokens = 0
    per_step = True
    for layer in body:
        pools = [spec for spec, _ in made if isinstance(spec, Pool)]
        if not made and layer.kind in (*RECURRENT, "bidirectional", "dense"):
            features = _array(layer, 0, source).shape[0]
        if layer.kind == "embedding" and not made:
            table = _array(layer, 0, source)
            tokens = len(table)
            made.append((Embedding(*table.shape), {"weight": table}))
        elif layer.kind in RECURRENT and not pools:
            made.append(_recurrent(layer, source))
            if not layer.setting("return_sequences", True):
                made.append((Pool("last"), {}))
        elif layer.kind == "bidirectional" and not pools:
            made.append(_bidirectional(layer, source))
            inner = layer.setting("layer", {}).get("config", {})
            if not inner.get("return_sequences", True):
                made.append((Pool("last"), {}))
        elif layer.kind in POOLS and not pools:
            made.append((Pool(POOLS[layer.kind]), {}))
        elif layer.kind == "dense":
            made.append(_linear(layer, source))
        else:
            raise TruesparseError(
                f"{source} has the layer {layer.name!r} of the kind {_camel(layer.kind)}"
                f"{', which has no place there' if layer.kind in (*RECURRENT, *POOLS, 'embedding') else ''}"
                f"; what can be imported is {_KNOWN}"
            )
    weight = _matrix(last, source)
    bias = _bias(last, len(weight), source)
    per_step = not any(isinstance(spec, Pool) for spec, _ in made)
    if per_step and not known and pooling != "none" and (pooling or len(weight) != tokens):
        made.append((Pool(pooling or "last"), {}))
        per_step = False
    if per_step and len(weight) == tokens and any(isinstance(spec, Bidirectional) for spec, _ in made):
        raise TruesparseError(
            f"{source} reads in both directions, but {ONE_DIRECTION}; give one that does not"
        )
    said = last.setting("activation", "linear" if numbers else "softmax" if len(weight) > 1 else "sigmoid")
    if said == "linear" and not numbers:
        said = activation or said
        if said == "linear" and ("crossentropy" in loss or (per_step and len(weight) == tokens)):
            said = "sigmoid" if "binary" in loss or len(weight) == 1 else "softmax"
    if said not in ("linear", "softmax" if len(weight) > 1 else "sigmoid"):
        raise TruesparseError(
            f"the last layer of {source}, {last.name!r}, has the activation {said} of {len(weight):,} outputs"
            "; what can be imported is softmax of several, sigmoid of one, or none"
        )
    made.append(head_of(weight, bias, said == "linear", per_step, tokens))
    return Dense.of(made, features, source)


def _recurrent(layer: Layer, source: str) -> tuple[LayerSpec, Mapping[str, Array]]:
    """An LSTM, whose gates are i, f, c, o in Keras, or a GRU, whose are z, r, h."""
    for name, usual in (
        ("activation", "tanh"),
        ("recurrent_activation", "sigmoid"),
        ("go_backwards", False),
        ("return_state", False),
    ):
        if (value := layer.setting(name, usual)) != usual:
            raise TruesparseError(
                f"the layer {layer.name!r} of {source} has {name} {value!r}, which has no place; train one"
                f" with {usual!r}"
            )
    count = 4 if layer.kind == "lstm" else 3
    kernel, recurrent = _array(layer, 0, source), _array(layer, 1, source)
    units = recurrent.shape[0]
    if kernel.ndim != 2 or recurrent.shape != (units, count * units) or kernel.shape[1] != count * units:
        raise TruesparseError(
            f"the layer {layer.name!r} of {source} has arrays of the shapes {kernel.shape} and"
            f" {recurrent.shape}, which are no {layer.kind.upper()}"
        )
    weights = {
        "weight_ih": np.ascontiguousarray(_gates(kernel, layer.kind).T),
        "weight_hh": np.ascontiguousarray(_gates(recurrent, layer.kind).T),
    }
    bias = layer.arrays[2] if len(layer.arrays) > 2 else None
    if layer.kind == "lstm":
        bias = np.zeros(4 * units, np.float32) if bias is None else bias
        return LSTM(units), {**weights, "bias": bias}
    after = layer.setting("reset_after", bias is None or bias.ndim == 2)
    if bias is None:
        bias = np.zeros((2, 3 * units) if after else 3 * units, np.float32)
    if bias.shape != ((2, 3 * units) if after else (3 * units,)):
        raise TruesparseError(
            f"the layer {layer.name!r} of {source} has a bias of the shape {bias.shape}, which is no GRU's"
        )
    bias = _gates(bias, "gru")
    if not after:
        return GRU(units, reset_gate="before"), {**weights, "bias": bias}
    last = 2 * units  # the two biases of r and z are only added up; that of h which is reset stays apart
    both = np.append(bias[0, :last] + bias[1, :last], bias[0, last:])
    return GRU(units), {**weights, "bias": both, "bias_hn": bias[1, last:]}


def _bidirectional(layer: Layer, source: str) -> tuple[LayerSpec, Mapping[str, Array]]:
    """Two recurrent layers side by side."""
    if (merge := layer.setting("merge_mode", "concat")) != "concat":
        raise TruesparseError(
            f"the layer {layer.name!r} of {source} has merge_mode {merge!r}, which has no place; train one"
            " with 'concat'"
        )
    half = len(layer.arrays) // 2
    gates = layer.arrays[1].shape[-1] // max(1, len(layer.arrays[1])) if half > 1 else 0
    made = []
    for key, arrays in (("layer", layer.arrays[:half]), ("backward_layer", layer.arrays[half:])):
        config = None
        kind = {4: "lstm", 3: "gru"}.get(gates, "lstm")
        if layer.config is not None:
            inner = layer.config.get(key) or layer.config["layer"]
            kind, config = snake(inner["class_name"]), {**inner["config"], "go_backwards": False}
        if kind not in RECURRENT:
            raise TruesparseError(
                f"{source} has the layer {layer.name!r}, Bidirectional of {_camel(kind)}; what can be"
                f" imported is {_KNOWN}"
            )
        made.append(_recurrent(Layer(kind, layer.name, arrays, config), source))
    (cell, forward), (other, backward) = made
    if cell != other:
        raise TruesparseError(
            f"the directions of {layer.name!r} of {source} differ; train one where they do not"
        )
    assert isinstance(cell, Recurrent)
    arrays_of = {
        f"{way}.{name}": array
        for way, own in zip(DIRECTIONS, (forward, backward), strict=True)
        for name, array in own.items()
    }
    return Bidirectional(cell), arrays_of


def _gates(array: Array, kind: str) -> Array:
    """Columns in the order of truesparse's gates: r, z, n in the place of z, r, h."""
    if kind == "lstm":
        return array
    z, r, h = np.split(array, 3, axis=-1)
    return np.concatenate([r, z, h], axis=-1)


def _linear(layer: Layer, source: str) -> tuple[LayerSpec, Mapping[str, Array]]:
    activation = layer.setting("activation", "linear")
    kinds = {"linear": "none", "relu": "relu", "tanh": "tanh"}
    if activation not in kinds:
        raise TruesparseError(
            f"the layer {layer.name!r} of {source} has the activation {activation!r}; what can be imported is"
            " relu, tanh or none"
        )
    weight = _matrix(layer, source)
    spec = Linear(len(weight), kinds[activation])
    return spec, {"weight": weight, "bias": _bias(layer, len(weight), source)}


def _matrix(layer: Layer, source: str) -> Array:
    return np.ascontiguousarray(_array(layer, 0, source).T)


def _bias(layer: Layer, size: int, source: str) -> Array:
    return _array(layer, 1, source, 1) if len(layer.arrays) > 1 else np.zeros(size, np.float32)


def _array(layer: Layer, number: int, source: str, dimensions: int = 2) -> Array:
    if len(layer.arrays) <= number or layer.arrays[number].ndim != dimensions:
        raise TruesparseError(
            f"the layer {layer.name!r} of {source}, {_camel(layer.kind)}, has not the arrays of one that can"
            f" be imported, which is {_KNOWN}"
        )
    return layer.arrays[number]


def _camel(kind: str) -> str:
    """For messages: what a class of a name in snake case is called."""
    return {"lstm": "LSTM", "gru": "GRU"}.get(kind, "".join(part.capitalize() for part in kind.split("_")))
