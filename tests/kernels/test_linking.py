"""What Numba compiles on its way to a parallel kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import TypingError, types
from numba import jit as numba_jit
from numba.core.codegen import CPUCodeLibrary
from numba.core.cpu import CPUContext

from truesparse.kernels.jit import jit, parallel_jit, prange
from truesparse.kernels.spmm import spmm


def test_machine_code_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    finalize = CPUCodeLibrary._finalize_final_module

    def note(library: Any) -> None:
        made.append(library.name)
        finalize(library)

    monkeypatch.setattr(CPUCodeLibrary, "_finalize_final_module", note)
    before = CPUCodeLibrary.finalize, CPUContext.get_executable

    @parallel_jit
    def double(x):
        for i in prange(len(x)):
            x[i] *= 2

    x = np.arange(5.0)
    double(x)
    assert x.tolist() == [0, 2, 4, 6, 8]
    assert [name for name in made if "double" in name or "gufunc" in name.lower()] == [
        f"{test_machine_code_is_made_once.__qualname__}.<locals>.double"
    ]
    assert (CPUCodeLibrary.finalize, CPUContext.get_executable) == before  # other people's kernels


def test_a_row_of_a_product_counts_no_references() -> None:
    """Numba counts those to the arrays of an inline function that has a loop, unless it is told not to."""
    kernel = spmm(64)
    alone = numba_jit(**kernel.targetoptions)(kernel.py_func)  # compiled here, not loaded
    i, f = types.int64, types.float32
    starts, columns, vector = (types.Array(kind, 1, "C") for kind in (i, types.uint16, f))
    tiles, panels = types.Array(types.int32, 2, "C"), types.Array(f, 3, "C")
    alone.compile((panels, tiles, starts, columns, vector, panels, vector, i, i, i, i, i))
    (code,) = alone.inspect_llvm().values()
    assert "fmuladd" in code
    assert "incref" not in code


def test_a_kernel_cannot_make_an_array() -> None:
    @jit
    def zeros(n):
        return np.zeros(n)[0]

    with pytest.raises(TypingError, match="zeros"):
        zeros(3)
