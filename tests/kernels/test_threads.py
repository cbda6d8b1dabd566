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
