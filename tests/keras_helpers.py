"""Files as Keras 3 writes them, made by hand: layers/<kind>/[cell/]vars/<number>."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, list[np.ndarray]]


def inner_of(group: str) -> list[str]:
    kind = group.split("_")[0]
    if kind == "bidirectional":
        return ["/forward_layer/cell", "/backward_layer/cell"]
    return ["/cell"] if kind in ("lstm", "gru") else [""]


def fill(file: Any, layers: Arrays, names: dict[str, str] | None = None) -> None:
    for group, arrays in layers.items():
        file.require_group(f"layers/{group}/vars").attrs["name"] = (names or {}).get(group, group)
        places = inner_of(group)
        count = len(arrays) // len(places)
        for place, inner in enumerate(places):
            own = file.require_group(f"layers/{group}{inner}/vars")
            for number, values in enumerate(arrays[place * count : (place + 1) * count]):
                own[str(number)] = values
    file.require_group("optimizer/vars")["0"] = np.ones(7)


def config(kind: str, name: str, **settings: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **settings}}


def whole_file(
    folder: Path, listed: list[dict[str, Any]], layers: Arrays, names: dict[str, str], loss: Any = None
) -> Path:
    """A model of layers one after the other: their configurations, weights and names."""
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        fill(file, layers, names)
    path = folder / "m.keras"
    document = {"class_name": "Sequential", "config": {"layers": listed}, "compile_config": {"loss": loss}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(document))
        archive.writestr("model.weights.h5", stream.getvalue())
    return path
