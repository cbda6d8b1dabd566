from __future__ import annotations

import json

import numba
import pytest

from truesparse.training.environment import environment, peak_memory_bytes, watch_compilation


def test_the_environment_fits_json() -> None:
    values = json.loads(json.dumps(environment()))
    assert {"truesparse", "python", "numba", "cpu", "cores", "threads", "threading_layer"} <= set(values)
    assert values["threads"] >= 1


def test_peak_memory_is_in_bytes() -> None:
    assert 10e6 < peak_memory_bytes() < 1e12


def test_compilation_is_noticed_once_and_timed() -> None:
    noticed = []
    with watch_compilation(lambda: noticed.append(1)) as seconds:
        assert seconds() == 0
        numba.njit(lambda x: x + 1)(1)
        numba.njit(lambda x: x + 2)(1)
        assert noticed == [1]
        assert seconds() > 0
        so_far = seconds()
    numba.njit(lambda x: x + 3)(1)
    assert seconds() == pytest.approx(so_far)
