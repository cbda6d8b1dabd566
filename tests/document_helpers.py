"""Changes to what a file says of its model."""

from __future__ import annotations

from typing import Any


def with_settings(model: dict[str, Any], kind: str, **settings: Any) -> dict[str, Any]:
    """The description of a model whose layers of a kind have other settings."""
    layers = [layer | (settings if layer["type"] == kind else {}) for layer in model["layers"]]
    return model | {"layers": layers}


def cell_of(model: dict[str, Any]) -> str:
    """The kind of its recurrent layers."""
    return next(layer["type"] for layer in model["layers"] if "units" in layer)
