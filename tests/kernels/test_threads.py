import os
import subprocess
import sys
import time

import numba
import pytest

from truesparse.kernels.threads import ThreadTrial, set_threads, thread_count


@pytest.fixture(autouse=True)
def all_threads():
    set_threads(0)
    yield
    set_threads(0)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("fastest", [1, numba.config.NUMBA_NUM_THREADS])
def test_a_trial_ends_with_the_faster_number_of_threads(fastest):
    trial, used = ThreadTrial(), []
    while trial.running:
        with trial:
            used.append(thread_count())
            first = used.count(used[-1]) == 1  # as if it were compiled
            time.sleep(0.03 if first else 0.001 if used[-1] == fastest else 0.01)
    assert set(used) == {1, numba.config.NUMBA_NUM_THREADS}
    assert thread_count() == fastest
    with trial:  # has no more effect
        assert thread_count() == fastest


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_a_trial_counts_how_much_work_it_was():
    """One thread only seems faster: it is given a tenth of the work."""
    trial = ThreadTrial()
    while trial.running:
        with trial:
            trial.amount = 1 if thread_count() == 1 else 10
            time.sleep(0.002 if thread_count() == 1 else 0.008)
    assert thread_count() == numba.config.NUMBA_NUM_THREADS


def test_no_trial_where_a_number_was_asked_for():
    before = thread_count()
    trial = ThreadTrial(on=False)
    assert not trial.running
    with trial:
        assert thread_count() == before


FORK = """
import multiprocessing, sys
import numpy as np
from truesparse.errors import TruesparseError
from truesparse.kernels.jit import parallel_jit, prange
from truesparse.kernels.threads import set_threads, threading_layer

@parallel_jit
def double(numbers):
    for k in prange(len(numbers)):
        numbers[k] *= 2

def work(_):
    set_threads(1)
    double(np.ones(4))
    return "done"

try:
    double(np.ones(4))
except ValueError:
    sys.exit(77)  # there is no such layer
pool = multiprocessing.get_context("fork").Pool(1)
try:
    print(pool.apply_async(work, (0,)).get(60))
except TruesparseError as error:
    print(error)
pool.terminate()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("layer", "answer"), [("omp", "forked from one"), ("workqueue", "done")])
def test_a_forked_process_runs_kernels_or_says_why_not(layer, answer, tmp_path):
    """GNU's OpenMP kills it, again and again, and whoever waits for a pool of them waits for ever."""
    (tmp_path / "fork.py").write_text(FORK)
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer}
    command = [sys.executable, str(tmp_path / "fork.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode == 77:
        pytest.skip(f"Numba has no {layer} here")
    assert answer in done.stdout
