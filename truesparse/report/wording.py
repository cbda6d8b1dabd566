"""Layers, settings, times and sizes in words."""

from __future__ import annotations

import dataclasses
from typing import Any

from truesparse.layers.spec import LayerSpec


def layer_text(layer: LayerSpec) -> str:
    """A layer with the settings that are not the usual ones."""
    own = ", ".join(
        f"{field.name} {layer_text(value) if isinstance(value, LayerSpec) else shown_value(value)}"
        for field in dataclasses.fields(layer)
        if field.name not in ("mean", "scale")  # a number for each feature
        and (value := getattr(layer, field.name)) not in (None, field.default)
    )
    return f"{layer.TYPE} ({own})" if own else layer.TYPE


def shown_value(value: Any) -> str:
    """A value of a setting, for people."""
    if value is None:
        return "not set"
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def time_text(seconds: float) -> str:
    """A time."""
    if seconds < 1:
        return f"{1e6 * seconds:,.0f} µs" if seconds < 0.001 else f"{1e3 * seconds:.3g} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"


def size_text(count: float) -> str:
    """So many bytes."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:,.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} GB"
