"""What Numba compiles on its way to a parallel kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba.core.codegen import CPUCodeLibrary
from numba.core.cpu import CPUContext

from truesparse.kernels.jit import parallel_jit, prange


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
