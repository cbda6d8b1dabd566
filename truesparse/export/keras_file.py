"""Files of Keras 3: which layers they have, and the arrays of each."""

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

from truesparse.errors import TruesparseError
from truesparse.export.imported import Array

# What is only for training, or says what is known anyhow.
NOTHING = ("input_layer", "dropout", "spatial_dropout1d", "gaussian_dropout", "gaussian_noise", "masking")
POOLS = {"global_average_pooling1d": "mean", "global_max_pooling1d": "max"}
RECURRENT = ("lstm", "gru")
# Bytes of all arrays may be so many times those of the file, or so many.
_EXPANSION = 64
_SMALL = 1 << 26


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


def read_layers(path: Path) -> tuple[list[Layer], str]:
    """Read a file ``.keras`` or ``.weights.h5``.

    Returns
    -------
    list of Layer
        In their order, which of ``.weights.h5`` is that of an embedding, recurrent layers, one dense layer.
    str
        What the file says of the loss, in lower case; empty if nothing.

    Raises
    ------
    TruesparseError
        h5py is not installed, the file cannot be read, or its layers are not in a row.
    """
    return _whole(path) if zipfile.is_zipfile(path) else (_weights_only(path), "")


def _whole(path: Path) -> tuple[list[Layer], str]:
    """The layers of a file ``.keras``, and its loss."""
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
            f"{path} has a model of a custom class; save a Sequential or Functional model"
        ) from None
    return layers, json.dumps((document.get("compile_config") or {}).get("loss")).lower().replace("_", "")


def _configured(layer: Mapping[str, Any], groups: Mapping[str, Layer]) -> Layer:
    kind, config = snake(layer["class_name"]), dict(layer["config"])
    name = str(config["name"])
    found = groups.get(name)
    if kind == "time_distributed":  # a dense layer says something at each step anyhow
        inner = config["layer"]
        kind, config = snake(inner["class_name"]), dict(inner["config"])
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
    layers = [layer for layer in _read(path, path) if layer.kind not in NOTHING]
    recurrent = {layer.kind for layer in layers if layer.kind in (*RECURRENT, "bidirectional")}
    dense = [layer for layer in layers if layer.kind == "dense"]
    if len(recurrent) > 1 or len(dense) > 1:
        what = "recurrent layers of several kinds" if len(recurrent) > 1 else "several dense layers"
        raise TruesparseError(
            f"{path} has {what}, and weights alone do not tell their order and activations; give the file"
            ' that model.save("NAME.keras") writes'
        )
    order = ("embedding", *RECURRENT, "bidirectional", *POOLS, "dense")
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
                    " a custom class are not read); load it there and write it with"
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
    own = str(group["vars"].attrs.get("name", name)) if "vars" in group else name
    places = {"time_distributed": ["layer"], "lstm": ["cell"], "gru": ["cell"]}.get(kind, [""])
    if kind == "bidirectional":
        places = ["forward_layer/cell", "backward_layer/cell"]
    arrays = []
    for place in places:
        variables = group.get(f"{place}/vars".lstrip("/"), {})
        for number in sorted(variables, key=int):
            dataset = variables[number]
            if variables.get(number, getlink=True).__class__.__name__ != "HardLink" or dataset.external:
                raise TruesparseError(
                    f"{path} points to other files, which are not read; save the model anew"
                )
            _check_size(path, 4 * dataset.size)
            arrays.append(np.asarray(dataset[()], np.float32))
    kind = "dense" if kind == "time_distributed" else kind
    return Layer(kind, own, arrays)


def _number(name: str) -> tuple[str, int]:
    match = re.fullmatch(r"(.*?)(?:_(\d+))?", name)
    assert match is not None
    return match[1], int(match[2] or 0)


def _check_size(path: Path, size: int) -> None:
    """Raise TruesparseError for a file that claims to hold far more than its bytes."""
    if size > _SMALL + _EXPANSION * path.stat().st_size:
        raise TruesparseError(
            f"{path} has {path.stat().st_size:,} bytes, but would take {size:,}; save the model anew"
        )


def snake(name: Any) -> str:
    """As Keras makes names of files of those of classes."""
    name = re.sub(r"\W+", "", str(name))
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
