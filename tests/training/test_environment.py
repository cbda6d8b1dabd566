from __future__ import annotations

import json

import numba
import pytest

from truesparse.training.environment import (
    environment,
    machine_of,
    peak_memory_bytes,
    processor_of,
    watch_compilation,
)


def test_the_environment_fits_json() -> None:
    values = json.loads(json.dumps(environment()))
    assert {"truesparse", "python", "numba", "cpu", "cores", "threads", "threading_layer"} <= set(values)
    assert values["threads"] >= 1
    assert 1 <= values["usable_cores"] <= values["cores"]
    assert 1 <= values["physical_cores"] <= values["cores"]


def test_a_processor_is_named_also_by_older_records() -> None:
    assert processor_of({"cpu": "AMD EPYC"}) == "AMD EPYC"
    assert machine_of({"cpu": "AMD EPYC", "cores": 2}) == "AMD EPYC, 2 cores"
    assert processor_of({"cpu": "AMD EPYC", "microarchitecture": "znver5"}) == "AMD EPYC (znver5)"
    here = environment()
    assert here["microarchitecture"]
    assert processor_of(here) == f"{here['cpu']} ({here['microarchitecture']})"


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
