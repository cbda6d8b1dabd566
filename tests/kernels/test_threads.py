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


def test_two_threads_train_at_once_on_the_work_queue():
    """Which ends the process when two of them enter it."""
    program = """
import threading
import numpy as np
from truesparse.kernels.jit import parallel_jit, prange, threads

@parallel_jit
def add_up(y, x):
    for i in prange(y.size):
        y[i] += x[i]

def work(y, x):
    for _ in range(300):
        add_up(y, x)

x = np.arange(50_000, dtype=np.float32)
sums = [np.zeros_like(x) for _ in range(4)]
workers = [threading.Thread(target=work, args=(y, x)) for y in sums]
for worker in workers: worker.start()
for worker in workers: worker.join()
assert threads.threading_layer() == "workqueue"
assert all(np.array_equal(y, 300 * x) for y in sums)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
