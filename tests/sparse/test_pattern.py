import numpy as np
import pytest
import scipy.sparse as sp

from truesparse.errors import TruesparseError
from truesparse.sparse import Pattern, narrow_index_dtype


def test_index_type_holds_the_largest_index():
    assert narrow_index_dtype(1) == np.uint16
    assert narrow_index_dtype(65536) == np.uint16
    assert narrow_index_dtype(65537) == np.uint32


def test_from_scipy_sorts_adds_duplicates_and_keeps_zeros():
    rows, cols, data = [1, 0, 1, 1], [2, 0, 0, 2], [1.0, 0.0, 4.0, 2.0]
    pattern, values = Pattern.from_scipy(sp.coo_array((data, (rows, cols)), shape=(3, 4)))
    pattern.check()
    assert pattern.indptr.tolist() == [0, 1, 3, 3]
    assert pattern.indices.tolist() == [0, 0, 2]
    assert values.tolist() == [0, 4, 3]
    assert values.dtype == np.float32
    assert pattern.density == 3 / 12


def valid():
    return {"indptr": [0, 2, 2, 4], "indices": [1, 3, 0, 3], "shape": (3, 4)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (3, 0)}, "no positions"),
        ({"indptr": [0, 2, 4]}, "shape"),
        ({"indptr": [1, 2, 2, 4]}, "runs from 1"),
        ({"indptr": [0, 2, 2, 3]}, "runs from 0 to 3"),
        ({"indptr": [0, 3, 2, 4]}, "decreases"),
        ({"indices": [1, 4, 0, 3]}, "outside"),
        ({"indices": [3, 1, 0, 3]}, "increasing"),
        ({"indices": [1, 1, 0, 3]}, "increasing"),
        ({"indices": [1, 3, 3, 3]}, "increasing"),
    ],
)
def test_check_names_the_broken_invariant(change, message):
    def pattern(indptr, indices, shape):
        return Pattern(np.array(indptr, np.int64), np.array(indices, np.uint16), shape)

    pattern(**valid()).check()
    with pytest.raises(TruesparseError, match=f"output.weight.*{message}"):
        pattern(**(valid() | change)).check("output.weight")


def test_check_refuses_wide_indices():
    pattern = Pattern(np.array([0, 1], np.int64), np.array([0], np.int32), (1, 4))
    with pytest.raises(TruesparseError, match="int32"):
        pattern.check()


def test_empty_first_and_last_rows_are_valid():
    Pattern(np.array([0, 0, 1, 1], np.int64), np.array([3], np.uint16), (3, 4)).check()
    Pattern(np.zeros(4, np.int64), np.array([], np.uint16), (3, 4)).check()
