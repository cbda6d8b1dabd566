import os
import subprocess
import sys

import numba
import pytest

from truesparse.kernels import cores, threads
from truesparse.kernels.threads import ThreadTrial, set_threads, thread_count

# With bounds checks parallel kernels run on one thread, and no threading layer is there to be tried.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "NUMBA_BOUNDSCHECK"}


@pytest.fixture(autouse=True)
def all_threads():
    set_threads(0)
    yield
    set_threads(0)


class Machine:
    """Work that takes as long as it is said to, on a clock of its own and with up to 4 threads."""

    def __init__(self, monkeypatch, seconds, physical=4, every=0):
        self.now, self.threads, self.seconds = 0.0, 4, seconds
        self.used = []
        monkeypatch.setattr(threads.numba, "get_num_threads", lambda: self.threads)
        monkeypatch.setattr(threads.numba, "set_num_threads", lambda count: setattr(self, "threads", count))
        monkeypatch.setattr(cores, "physical_cores", lambda: physical)
        self.trial = ThreadTrial(clock=lambda: self.now, every=every)

    def work(self, blocks, amount=1):
        for _ in range(blocks):
            with self.trial:
                self.used.append(self.threads)
                self.now += self.seconds[self.threads] * amount
                self.trial.amount = amount
        return self.used[-blocks:]


@pytest.mark.parametrize(
    ("seconds", "faster"), [({4: 3.0, 1: 2.0}, 1), ({4: 2.0, 1: 3.0}, 4), ({4: 2.0, 1: 2.0}, 4)]
)
def test_a_trial_ends_with_the_faster_number_of_threads(monkeypatch, seconds, faster):
    machine = Machine(monkeypatch, seconds)
    assert machine.trial.count == 4
    used = machine.work(8)
    assert used == [4, 1] * 4
    assert not machine.trial.running
    assert machine.trial.count == machine.threads == faster
    assert machine.work(100) == [faster] * 100


def test_a_trial_is_not_decided_by_what_disturbs_most_of_it(monkeypatch):
    machine = Machine(monkeypatch, {4: 1.0, 1: 2.0})
    for extra in (30.0, 9.0, 5.0, 0.0):  # compiling, then a busy machine
        machine.seconds = {4: 1.0 + extra, 1: 2.0 + extra / 2}
        machine.work(2)
    assert machine.trial.count == 4


def test_a_trial_counts_how_much_work_it_was(monkeypatch):
    """One thread only seems faster: it is given a tenth of the work."""
    machine = Machine(monkeypatch, {4: 1.0, 1: 3.0})
    while machine.trial.running:
        machine.work(1, amount=1 if len(machine.used) % 2 else 10)
    assert machine.trial.count == 4


@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1)])
def test_what_was_decided_in_a_busy_moment_is_decided_again(monkeypatch, before, after):
    machine = Machine(monkeypatch, {before: 1.0, after: 2.0})
    machine.work(50)
    assert machine.trial.count == before
    machine.seconds = {before: 2.0, after: 1.0}
    machine.work(1000)
    assert machine.trial.count == after
    assert machine.used[-1] == after


@pytest.mark.parametrize("slower", [1.01, 2.0, 12.0])
@pytest.mark.parametrize("faster", [1, 4])
def test_trials_cost_a_hundredth_at_most_once_the_first_is_over(monkeypatch, faster, slower):
    machine = Machine(monkeypatch, {1: slower, 4: slower} | {faster: 1.0})
    machine.work(8)
    began = machine.now
    used = machine.work(50_000)
    others = sum(count != faster for count in used)
    assert 16 <= others <= 500
    assert machine.now - began <= 1.01 * 50_000


@pytest.mark.parametrize("faster", [1, 2, 4])
def test_hyperthreads_may_be_left_unused(monkeypatch, faster):
    machine = Machine(monkeypatch, {1: 2.0, 2: 3.0, 4: 2.5} | {faster: 1.0}, physical=2)
    assert machine.work(12) == [4, 2, 1] * 4
    assert machine.trial.count == machine.threads == faster
    began = machine.now
    used = machine.work(50_000)
    assert 24 <= sum(count != faster for count in used) <= 500
    assert machine.now - began <= 1.01 * 50_000


def test_trials_of_ranks_begin_at_the_same_steps(monkeypatch):
    """However much slower each rank finds a number, and however many numbers it has to try."""
    begun = []
    for seconds, physical in (({1: 1.0, 4: 9.0}, 4), ({1: 3.0, 4: 1.0}, 4), ({1: 20.0, 2: 1.0, 4: 2.0}, 2)):
        machine = Machine(monkeypatch, seconds, physical, every=300)
        before, steps = False, []
        for step in range(1000):
            machine.work(1)
            if machine.trial.running and not before:
                steps.append(step)
            before = machine.trial.running
        assert machine.trial.count == min(seconds, key=seconds.get)
        begun.append(steps)
    assert begun == [[0, 300, 600, 900]] * 3


def test_threads_are_as_many_as_a_cgroup_has_time_for(monkeypatch):
    monkeypatch.setattr(threads, "available_cores", lambda: 1)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    assert set_threads(0) == 1
    monkeypatch.setattr(threads, "_count", None)
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    assert thread_count() == numba.get_num_threads() == 1
    most = numba.config.NUMBA_NUM_THREADS
    assert set_threads(2) == min(2, most)  # who asks for more gets it
    monkeypatch.setenv("NUMBA_NUM_THREADS", str(most))
    assert set_threads(0) == most


def test_between_blocks_the_number_is_the_one_that_was_decided_on(monkeypatch):
    """What comes between the steps, such as an evaluation, is no part of the trial."""
    machine = Machine(monkeypatch, {4: 1.0, 1: 3.0})
    for _ in range(1000):
        machine.work(1)
        assert machine.threads == 4


def test_a_trial_can_be_asked_for(monkeypatch):
    machine = Machine(monkeypatch, {4: 1.0, 1: 3.0})
    machine.work(10)
    machine.seconds = {4: 4.0, 1: 3.0}
    machine.trial.again()
    assert machine.trial.running
    machine.work(8)
    assert machine.trial.count == 1


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_a_trial_sets_the_threads_of_the_kernels(monkeypatch):
    monkeypatch.setattr(cores, "physical_cores", lambda: numba.config.NUMBA_NUM_THREADS)
    trial, used = ThreadTrial(), []
    while trial.running:
        with trial:
            used.append(thread_count())
    assert set(used) == {1, numba.config.NUMBA_NUM_THREADS}
    assert thread_count() == trial.count


def test_no_trial_where_a_number_was_asked_for():
    before = thread_count()
    trial = ThreadTrial(on=False)
    for _ in range(1000):
        assert not trial.running
        with trial:
            assert thread_count() == trial.count == before


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
        env={**ENVIRONMENT, "NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


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
    environment = {**ENVIRONMENT, "NUMBA_THREADING_LAYER": layer}
    command = [sys.executable, str(tmp_path / "fork.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode == 77:
        pytest.skip(f"Numba has no {layer} here")
    assert answer in done.stdout
