"""The forms of export. Another one is one more line here; the command reads this too."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

DTYPES = ("float32", "int8")


class Target(NamedTuple):
    """A form.

    Attributes
    ----------
    module, function : str
        What writes it, imported when it is used: takes a `StoredModel` and the folder to fill, and returns
        what can be reported of it; see `truesparse.export.write.export_model`.
    summary : str
        What it is, for ``--help``.
    named : bool
        Whether the function also takes a `name` and a `dtype`, one of `DTYPES`.
    """

    module: str
    function: str
    summary: str
    named: bool = False

    def write(self, *arguments: Any) -> dict[str, Any]:
        """Write a model."""
        report: dict[str, Any] = getattr(import_module(self.module), self.function)(*arguments)
        return report


TARGETS = {
    "c": Target("truesparse.export.c", "write_c", "C99 source", named=True),
    "onnx": Target("truesparse.export.onnx_model", "write_onnx", "ONNX with dense weights"),
    "torch": Target("truesparse.export.interchange", "write_torch", "PyTorch with dense weights"),
    "scipy": Target("truesparse.export.interchange", "write_scipy", "SciPy's sparse matrices"),
}
