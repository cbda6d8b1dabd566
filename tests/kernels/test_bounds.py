"""With ``NUMBA_BOUNDSCHECK=1`` an access outside of an array is an error, in a parallel kernel too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Kernels that are wrong on purpose: iteration number `where` begins `room` elements before the end.
PROGRAM = """
import numpy as np
from truesparse.kernels.jit import parallel_jit, prange
from truesparse.simd import at, vload, vstore

@parallel_jit
def element(a, where, room):
    for i in prange(64):
        a[a.size - room if i == where else i] = 1

@parallel_jit
def load(a, where, room):
    for i in prange(64):
        a[i] = at(a, a.size - room if i == where else i)

@parallel_jit
def vector_load(a, where, room):
    for i in prange(64):
        vstore(a, i, vload(a, a.size - room if i == where else i, 16))

@parallel_jit
def vector_store(a, where, room):
    for i in prange(64):
        vstore(a, a.size - room if i == where else i, vload(a, i, 16))

def seen(kernel, where, room):
    try:
        kernel(np.zeros(100, np.float32), where, room)
    except IndexError:
        return True
    return False

for kernel, needed in ((element, 1), (load, 1), (vector_load, 16), (vector_store, 16)):
    for where in (0, 31, 63):  # in the share of whatever thread
        print(kernel.__name__, seen(kernel, where, needed), seen(kernel, where, needed - 1))
"""


def test_wrong_kernels_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(PROGRAM)
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, path], env=environment, capture_output=True, text=True, check=True)
    expected = [f"{name} False True" for name in ("element", "load", "vector_load", "vector_store")]
    assert done.stdout.splitlines() == [line for line in expected for _ in range(3)]
