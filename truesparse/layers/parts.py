"""Where the parts of a layer are: what computes it in training and in the runtime, and what exports it.

A layer's specification `Name` lies in ``spec.py`` of a folder, and its parts in files beside it, which are
imported when they are needed. Or all of them lie in the file of the specification, whatever that is called.
Either way a part is found by its name, which follows from that of the specification.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from truesparse.layers.spec import LayerSpec

# For each part its file, and its name there.
_PARTS = {
    "layer": ("layer", "{name}Layer"),
    "step": ("step", "{name}Step"),
    "source": ("c", "{name}Source"),
    "nodes": ("onnx", "add_{type}"),
    "parameters": ("torch", "{type}_parameters"),
}


def part(spec: type[LayerSpec], kind: str) -> Any:
    """A part of a layer.

    Parameters
    ----------
    spec : type of LayerSpec
        Such as `LSTM`, whose type is ``lstm``.
    kind : {"layer", "step", "source", "nodes", "parameters"}
        ``LSTMLayer`` in ``layer.py``, a `truesparse.layers.layer.Layer`, or a `HeadLayer` for a head;
        ``LSTMStep`` in ``step.py``, a `truesparse.layers.step.Step`; ``LSTMSource`` in ``c.py``, a
        `truesparse.layers.source.Source`; ``add_lstm(graph, place, x)`` in ``onnx.py``, which adds nodes to a
        `truesparse.layers.graph.Graph` and returns the name of their output; ``lstm_parameters(place,
        matrices, vectors)`` in ``torch.py``, which returns those of a module of PyTorch.

    Returns
    -------
    type or function or None
        None if the layer has no such part. A specification that is derived from another one does not have
        the other's.
    """
    file, name = _PARTS[kind]
    module = spec.__module__
    folder, _, own = module.rpartition(".")
    if folder and own == "spec":
        module = f"{folder}.{file}"
        if find_spec(module) is None:
            return None
    name = name.format(name=spec.__name__, type=spec.TYPE.replace("-", "_"))
    return getattr(import_module(module), name, None)
