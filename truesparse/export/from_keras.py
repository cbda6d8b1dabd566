"""Models from Keras 3: what the arrays of a file are, and how its layers follow each other."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from truesparse.errors import TruesparseError, UsageError
from truesparse.export.imported import Array, Dense, head_of
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.gru.spec import GRU
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.pool.spec import Pool
from truesparse.layers.spec import LayerSpec

# What is only for training, or says what is known anyhow.
_NOTHING = ("input_layer", "dropout", "spatial_dropout1d", "gaussian_dropout", "gaussian_noise", "masking")
_POOLS = {"global_average_pooling1d": "mean", "global_max_pooling1d": "max"}
_RECURRENT = ("lstm", "gru")
_KNOWN = "Embedding, LSTM, GRU, Dense, Dropout and global pooling"
# Bytes of all arrays may be so many times those of the file, or so many.
_EXPANSION = 64
_SMALL = 1 << 26

Made = list[tuple[LayerSpec, Mapping[str, Array]]]


@dataclass(frozen=True)
class Layer:
    """A layer of Keras.

    Attributes
    ----------
    kind : str
        Its class in snake case, such as "lstm".
    name : str
        Its own, for messages.
    arrays : list of ndarray of float32
    config : dict or None
        None if the file does not tell.
    """

    kind: str
    name: str
    arrays: list[Array]
    config: dict[str, Any] | None = field(default=None)

    def setting(self, name: str, usual: Any) -> Any:
        """A setting; the usual value if the file does not tell."""
        return (self.config or {}).get(name, usual)


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
    layers, loss = _whole(path) if zipfile.is_zipfile(path) else (_weights_only(path), "")
    for flag, given in (("--pooling", pooling is not None), ("--numbers", numbers)):
        if given and layers and layers[0].config is not None:
            raise UsageError(f"{flag} is for weights alone, and {path} says more than that; leave it out")
    return _as_dense(layers, str(path), loss, pooling, numbers)


def _whole(path: Path) -> tuple[list[Layer], str]:
    """The layers of a file ``.keras``, and what it says of the loss."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in ("config.json", "model.weights.h5"):
                _check_size(path, archive.getinfo(name).file_size)
            document = json.loads(archive.read("config.json"))
            stream = io.BytesIO(archive.read("model.weights.h5"))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, NotImplementedError, RecursionError):
        raise TruesparseError(f"{path} is no whole file of Keras 3; write it with model.save(...)") from None
    groups = {group.name: group for group in _read(stream, path)}
    try:
        listed = document["config"]["layers"]
        _check_row(listed, path)
        layers = [_configured(layer, groups) for layer in listed]
    except (KeyError, TypeError, AttributeError):
        raise TruesparseError(
            f"{path} is of a model of one's own class; save a Sequential or Functional model"
        ) from None
    return layers, json.dumps((document.get("compile_config") or {}).get("loss")).lower().replace("_", "")


def _configured(layer: Mapping[str, Any], groups: Mapping[str, Layer]) -> Layer:
    kind, config = _snake(layer["class_name"]), dict(layer["config"])
    name = str(config["name"])
    found = groups.get(name)
    if kind == "time_distributed":  # a dense layer says something at each step anyhow
        inner = config["layer"]
        kind, config = _snake(inner["class_name"]), dict(inner["config"])
    return Layer(kind, name, found.arrays if found else [], config)


def _check_row(listed: list[Mapping[str, Any]], path: Path) -> None:
    """Raise TruesparseError if a layer reads something else than what is before it."""
    for before, layer in pairwise(listed):
        sources = set(_histories(layer.get("inbound_nodes", [])))
        if sources and sources != {before["config"]["name"]}:
            name = layer["config"]["name"]
            raise TruesparseError(
                f"the layer {name!r} of {path} reads {', '.join(map(repr, sorted(sources)))}, and only layers"
                " in a row can be imported"
            )


def _histories(node: Any) -> Iterator[str]:
    """Names of the layers that give what is read."""
    if isinstance(node, Mapping):
        if "keras_history" in node:
            yield str(node["keras_history"][0])
        for value in node.values():
            yield from _histories(value)
    elif isinstance(node, list):
        for value in node:
            yield from _histories(value)


def _weights_only(path: Path) -> list[Layer]:
    """The layers of a file ``.weights.h5``, which does not tell in what order they are."""
    layers = [layer for layer in _read(path, path) if layer.kind not in _NOTHING]
    recurrent = {layer.kind for layer in layers if layer.kind in _RECURRENT}
    dense = [layer for layer in layers if layer.kind == "dense"]
    if len(recurrent) > 1 or len(dense) > 1:
        what = "layers of both LSTM and GRU" if len(recurrent) > 1 else "several dense layers"
        raise TruesparseError(
            f"{path} has {what}, and weights alone do not tell their order and activations; give the file"
            ' that model.save("NAME.keras") writes'
        )
    order = ("embedding", *_RECURRENT, *_POOLS, "dense")
    return sorted(layers, key=lambda layer: order.index(layer.kind) if layer.kind in order else -1)


def _read(source: Any, path: Path) -> list[Layer]:
    """The layers of a file of HDF5, those of one kind in their order."""
    try:
        import h5py
    except ImportError:
        raise TruesparseError(
            'files of Keras need h5py; install it with: pip install "truesparse[keras]"'
        ) from None
    try:
        with h5py.File(source, "r") as file:
            if "layers" not in file:
                raise TruesparseError(
                    f"{path} is no file of weights that Keras 3 writes (files of Keras 2 and of models of"
                    " one's own class are not read); load it there and write it with"
                    ' model.save("NAME.keras")'
                )
            groups = file["layers"]
            return [_group(groups[name], name, path) for name in sorted(groups, key=_number)]
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError):
        raise TruesparseError(
            f"{path} is no whole file of Keras 3; write it with model.save or model.save_weights"
        ) from None


def _group(group: Any, name: str, path: Path) -> Layer:
    """A layer; its arrays may be those of what it is made of."""
    kind = re.sub(r"_\d+$", "", name)
    place = {"time_distributed": "layer", **dict.fromkeys(_RECURRENT, "cell")}.get(kind)
    own = str(group["vars"].attrs.get("name", name)) if "vars" in group else name
    inner = group.get(place, group) if place else group
    variables = inner.get("vars", {})
    arrays = []
    for number in sorted(variables, key=int):
        dataset = variables[number]
        if variables.get(number, getlink=True).__class__.__name__ != "HardLink" or dataset.external:
            raise TruesparseError(f"{path} points to other files, which are not read; save the model anew")
        _check_size(path, 4 * dataset.size)
        arrays.append(np.asarray(dataset[()], np.float32))
    kind = "dense" if kind == "time_distributed" else kind
    return Layer(kind, own, arrays)


def _number(name: str) -> tuple[str, int]:
    match = re.fullmatch(r"(.*?)(?:_(\d+))?", name)
    assert match is not None
    return match[1], int(match[2] or 0)


def _check_size(path: Path, size: int) -> None:
    """Raise TruesparseError for a file that says that it holds far more than its bytes."""
    if size > _SMALL + _EXPANSION * path.stat().st_size:
        raise TruesparseError(
            f"{path} has {path.stat().st_size:,} bytes, but would take {size:,}; save the model anew"
        )


def _as_dense(layers: list[Layer], source: str, loss: str, pooling: str | None, numbers: bool) -> Dense:
    """The layers of truesparse."""
    known = bool(layers) and layers[0].config is not None
    layers = [layer for layer in layers if layer.kind not in _NOTHING]
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
        if not made and layer.kind in (*_RECURRENT, "dense"):
            features = _array(layer, 0, source).shape[0]
        if layer.kind == "embedding" and not made:
            table = _array(layer, 0, source)
            tokens = len(table)
            made.append((Embedding(*table.shape), {"weight": table}))
        elif layer.kind in _RECURRENT and not pools:
            made.append(_recurrent(layer, source))
            if not layer.setting("return_sequences", True):
                made.append((Pool("last"), {}))
        elif layer.kind in _POOLS and not pools:
            made.append((Pool(_POOLS[layer.kind]), {}))
        elif layer.kind == "dense":
            made.append(_linear(layer, source))
        else:
            raise TruesparseError(
                f"{source} has the layer {layer.name!r} of the kind {_camel(layer.kind)}"
                f"{', which has no place there' if layer.kind in (*_RECURRENT, *_POOLS, 'embedding') else ''}"
                f"; what can be imported is {_KNOWN}"
            )
    weight = _matrix(last, source)
    bias = _bias(last, len(weight), source)
    per_step = not any(isinstance(spec, Pool) for spec, _ in made)
    if per_step and not known and pooling != "none" and (pooling or len(weight) != tokens):
        made.append((Pool(pooling or "last"), {}))
        per_step = False
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


def _snake(name: Any) -> str:
    """As Keras makes names of files of those of classes."""
    name = re.sub(r"\W+", "", str(name))
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _camel(kind: str) -> str:
    """For messages: what a class of a name in snake case is called."""
    return {"lstm": "LSTM", "gru": "GRU"}.get(kind, "".join(part.capitalize() for part in kind.split("_")))
