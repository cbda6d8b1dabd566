import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from truesparse.kernels.jit import jit
from truesparse.simd import vload, vload_row, vstore, vstore_row


def make_row_copy(n):
    @jit
    def copy_row(split, x, row, rows):
        vstore_row(split, 0, row, rows, vload(x, row * n, n))
        vstore(x, row * n, vload_row(split, 0, row, rows, vload(x, 0, n)))

    return copy_row


def test_rows_of_a_lane_split_array():
    rows, n = 3, 20
    x = np.arange(rows * n, dtype=np.float32).reshape(rows, n)
    split = np.zeros(rows * n, np.float32)
    expected = x.copy()
    for row in range(rows):
        make_row_copy(n)(split, x, row, rows)
    np.testing.assert_array_equal(split[: rows * 16].reshape(rows, 16), expected[:, :16])
    np.testing.assert_array_equal(split[rows * 16 :].reshape(rows, 4), expected[:, 16:])
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("offset", [-1, 13])
def test_access_outside_of_an_array_is_caught_in_checked_mode(offset, tmp_path):
    program = f"""
    import numpy as np
    from truesparse.kernels.jit import jit
    from truesparse.simd import vload, vstore

    @jit
    def copy(y, x, offset):
        vstore(y, 0, vload(x, offset, 4))

    copy(np.zeros(16, np.float32), np.zeros(16, np.float32), {offset})
    """
    script = tmp_path / "outside.py"
    script.write_text(textwrap.dedent(program))
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True)
    assert "IndexError: vector access outside of the array" in done.stderr
