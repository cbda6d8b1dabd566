import tracemalloc

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truesparse.errors import UsageError
from truesparse.topology import (
    DISTRIBUTIONS,
    erdos_renyi_counts,
    erdos_renyi_epsilon_counts,
    initial_counts,
    sample_pattern,
    uniform_counts,
)
from truesparse.topology import rows as row_counts


def lstm(vocabulary, size, layers):
    """Shapes of a language model whose embedding and hidden sizes are equal, without output layer."""
    shapes = [("embedding.weight", (vocabulary, size), 1)]
    for k in range(layers):
        shapes += [(f"lstm.{k}.weight_ih", (4 * size, size), 4), (f"lstm.{k}.weight_hh", (4 * size, size), 4)]
    return shapes


PAPER = [*lstm(10_000, 1500, 2), ("output.weight", (10_000, 1500), 1)]


def total(counts):
    return sum(int(count.sum()) for count in counts.values())


def test_text_classification_at_epsilon_10():
    counts = erdos_renyi_epsilon_counts(lstm(20_000, 256, 1), 10, gates="separate")
    assert counts["embedding.weight"].tolist() == [202_560]
    assert counts["lstm.0.weight_ih"].tolist() == counts["lstm.0.weight_hh"].tolist() == [5_120] * 4
    assert total(counts) == 243_520


def test_paper_language_model_uniform():
    counts = uniform_counts(PAPER, 0.33)
    assert counts["embedding.weight"].tolist() == counts["output.weight"].tolist() == [4_950_000]
    assert all(counts[f"lstm.{k}.weight_{w}"].tolist() == [2_970_000] for k in (0, 1) for w in ("ih", "hh"))
    assert total(counts) == 21_780_000
    assert total(uniform_counts(PAPER, 0.20)) == 13_200_000


def test_paper_language_model_erdos_renyi():
    counts = erdos_renyi_counts(PAPER, 0.33)
    assert total(counts) == 21_780_000
    assert counts["embedding.weight"][0] / 15e6 == pytest.approx(0.3151, abs=5e-5)
    assert counts["lstm.1.weight_hh"][0] / 9e6 == pytest.approx(0.3425, abs=5e-5)


def test_erdos_renyi_makes_a_small_matrix_dense_and_solves_again():
    counts = erdos_renyi_counts([("small", (10, 10), 1), ("large", (1000, 1000), 1)], 0.05)
    assert counts["small"].tolist() == [100]
    assert counts["large"].tolist() == [49_905]


shape_lists = st.lists(
    st.tuples(st.integers(1, 30), st.integers(1, 30), st.sampled_from([1, 4])), min_size=1, max_size=5
)


@settings(deadline=None)
@given(
    sizes=shape_lists,
    density=st.floats(1e-4, 1),
    distribution=st.sampled_from(DISTRIBUTIONS),
    gates=st.sampled_from(["fused", "separate"]),
)
def test_counts_are_exact_and_possible(sizes, density, distribution, gates):
    shapes = [(f"m{k}", (rows * blocks, cols), blocks) for k, (rows, cols, blocks) in enumerate(sizes)]
    positions = sum(rows * cols for _, (rows, cols), _ in shapes)
    try:
        counts = initial_counts(shapes, density, distribution, gates)
    except UsageError as error:
        enough = float(str(error).rsplit(" ", 1)[1])
        assert density < enough <= 1
        counts, density = initial_counts(shapes, enough, distribution, gates), enough
    assert total(counts) == round(density * positions)
    for name, (rows, cols), blocks in shapes:
        parts = blocks if gates == "separate" else 1
        assert counts[name].shape == (parts,)
        assert (counts[name] >= 1).all()
        assert (counts[name] <= rows // parts * cols).all()


def test_density_1_is_dense():
    for distribution in DISTRIBUTIONS:
        counts = initial_counts(lstm(7, 3, 1), 1, distribution, "separate")
        assert counts["embedding.weight"].tolist() == [21]
        assert counts["lstm.0.weight_hh"].tolist() == [9] * 4


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_matrix_with_a_density_of_its_own_leaves_the_others_the_rest(distribution):
    counts = initial_counts(PAPER, 0.2, distribution, own={"embedding.weight": 0.5})
    assert list(counts) == [name for name, _, _ in PAPER]
    assert counts["embedding.weight"].tolist() == [7_500_000]
    assert total(counts) == 13_200_000
    others = {name: int(count.sum()) for name, count in counts.items() if name != "embedding.weight"}
    left = erdos_renyi_counts(PAPER[1:], 5.7 / 51) if distribution == "erdos-renyi" else None
    for name, (rows, cols), _ in PAPER[1:]:
        expected = int(left[name].sum()) if left else 5_700_000 / 51_000_000 * rows * cols
        assert others[name] == pytest.approx(expected, abs=1)


def test_epsilon_is_capped_at_dense():
    assert erdos_renyi_epsilon_counts([("w", (10, 10), 1)], 20)["w"].tolist() == [100]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uniform_counts(PAPER, 0), "above 0"),
        (lambda: uniform_counts(PAPER, 1.01), "at most 1"),
        (lambda: uniform_counts(PAPER, float("nan")), "density"),
        (lambda: uniform_counts(PAPER, 1e-9), "embedding.weight without a weight; use at least"),
        (lambda: erdos_renyi_counts([("w", (4, 5), 1), ("v", (4, 1), 1)], 0.05), "v without a weight"),
        (lambda: erdos_renyi_epsilon_counts(PAPER, 0), "epsilon must be above 0"),
        (lambda: erdos_renyi_epsilon_counts([("w", (4, 6), 1)], 0.01), "w without.* at least 0.1"),
        (lambda: initial_counts(PAPER, 0.2, "gaussian"), "'uniform' or 'erdos-renyi'"),
        (lambda: initial_counts(PAPER, 0.1, own={"output.weight": 0.6}), "6,600,000 weights; output.weight"),
        (lambda: initial_counts(PAPER, 0.9, own={"output.weight": 0.1}), "other matrices have 51,000,000"),
        (lambda: uniform_counts(PAPER, 0.2, "split"), "'fused' or 'separate'"),
        (lambda: sample_pattern((3, 4), 13, np.random.default_rng()), "13 weights do not fit"),
        (lambda: sample_pattern((3, 4), np.array([1, 1]), np.random.default_rng()), "2 equal blocks"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(call, message):
    with pytest.raises(UsageError, match=message):
        call()


@settings(deadline=None)
@given(rows=st.integers(1, 8), cols=st.integers(1, 140), fill=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_sample_pattern_has_the_exact_count(rows, cols, fill, seed):
    count = round(fill * rows * cols)
    pattern = sample_pattern((rows, cols), count, np.random.default_rng(seed))
    pattern.check()
    assert pattern.nnz == count


def test_sample_pattern_with_a_count_for_each_block():
    pattern = sample_pattern((12, 70), np.array([3, 0, 210, 50]), np.random.default_rng(0))
    pattern.check()
    assert np.diff(pattern.indptr[::3]).tolist() == [3, 0, 210, 50]


def test_sample_pattern_is_uniform():
    # A 2 x 3 matrix with 3 entries has C(6, 3) = 20 patterns, all equally likely.
    rng = np.random.default_rng(5)
    draws = 20_000
    counts = np.zeros(64, int)
    for _ in range(draws):
        pattern = sample_pattern((2, 3), 3, rng)
        rows = np.repeat([0, 1], np.diff(pattern.indptr))
        counts[(1 << (3 * rows + pattern.indices)).sum()] += 1
    counts = counts[counts > 0]
    assert counts.size == 20
    assert ((counts - draws / 20) ** 2 / (draws / 20)).sum() < 50.8  # 0.9999 quantile, 19 degrees of freedom


def test_same_seed_same_pattern_for_any_number_of_threads():
    before = numba.get_num_threads()
    patterns = []
    for count in (1, min(2, before)):
        numba.set_num_threads(count)
        patterns.append(sample_pattern((203, 300), 20_000, np.random.default_rng(9)))
    numba.set_num_threads(before)
    assert np.array_equal(patterns[0].indices, patterns[1].indices)
    assert np.array_equal(patterns[0].indptr, patterns[1].indptr)
    other = sample_pattern((203, 300), 20_000, np.random.default_rng(10))
    assert not np.array_equal(patterns[0].indices, other.indices)


def test_sample_pattern_takes_memory_for_its_entries_only():
    rows, cols, count = 2000, 20_000, 10_000
    sample_pattern((8, cols), 8, np.random.default_rng(0))  # compiles
    tracemalloc.start()
    sample_pattern((rows, cols), count, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows * cols / 20


@pytest.mark.parametrize("share", [0.1, 0.8])
def test_rows_of_matrices_too_large_for_numpy_are_drawn_as_those_of_others(monkeypatch, share):
    """A million units read as many: more positions than a hypergeometric draw of NumPy takes."""
    empty = np.tile(np.array([0, 1, 40, 400]), 50)
    count = round(share * empty.sum())
    draws = []
    for most in (10**9, 0):
        monkeypatch.setattr(row_counts, "_MOST_POSITIONS", most)
        rng = np.random.default_rng(0)
        draws.append(np.array([row_counts.row_quotas(empty, count, rng) for _ in range(60)]))
    for quotas in draws:
        assert (quotas.sum(axis=1) == count).all()
        assert ((quotas >= 0) & (quotas <= empty)).all()
    kinds = [quotas.reshape(-1, 50, 4)[:, :, 3] for quotas in draws]
    deviation = np.sqrt(400 * share * (1 - share))
    for quotas in kinds:
        assert abs(quotas.mean() - 400 * share) < 0.1 * deviation
        assert abs(quotas.std() / deviation - 1) < 0.15
    wide = sample_pattern((20_000, 60_000), 1_000, np.random.default_rng(0))
    wide.check("wide")
    assert wide.nnz == 1_000
