"""Tiles: derived from the caches, corrected by a measurement, and without influence on any result."""

from types import SimpleNamespace

import numpy as np
import pytest

from truesparse.kernels import processor
from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.processor import cache_bytes, describe_caches
from truesparse.sparse import Arena, plan
from truesparse.sparse.plan import Cut, Plan, machine_plan, tuning
from truesparse.sparse.products import add_gradient, cut_for, multiply, multiply_transposed
from truesparse.topology import sample_pattern

CACHES = {"L1": 48 << 10, "L2": 1 << 20}
SHAPE = 6000, 1500
PANEL = 1500 * 320  # bytes


def kind(of, density=0.2, group=1, threads=1):
    return of.kind("forward", group, 80, SHAPE, density, threads)


def trials(fastest):
    """A clock, and a product that takes as long as its tile is far from the fastest."""
    now, tried = [0.0], []

    def trial(cut):
        tried.append(cut)
        now[0] += abs(cut.tile - fastest) + 2 - cut.bundled

    return (lambda: now[0]), trial, tried


def test_cuts_follow_from_the_caches():
    known = Plan(CACHES)
    assert known.derived(kind(known, 0.2)) == Cut(40 << 10, True)
    assert known.derived(kind(known, 0.05)) == known.derived(kind(known, 0.2, 4)) == Cut(1 << 19)
    half = Plan({level: size // 2 for level, size in CACHES.items()})
    assert half.derived(kind(half)) == Cut(20 << 10, True)
    for cut in (Cut(1), Cut(1, True)):
        assert half.band(cut, 320, 150.0) < known.band(cut, 320, 150.0)
    assert known.band(Cut(1, True), 320, 1e9) == 16


def test_the_fastest_cut_is_taken_and_kept(tmp_path):
    clock, trial, tried = trials(fastest=1 << 17)  # an eighth of the L2 cache
    file = tmp_path / "of" / "plan.json"
    first = Plan(CACHES, file, clock)
    told = []
    first.report = lambda *facts: told.append(facts)
    assert first.cut(kind(first), PANEL, trial) == Cut(1 << 17)
    assert told[0][:2] == (kind(first), Cut(1 << 17))
    assert told[0][2] > 1
    assert (
        len(set(tried)) == 8
    )  # two for an L1 cache in both orders, three for an L2 cache, and the whole panel
    tried.clear()
    assert first.cut(kind(first), PANEL, trial) == Cut(1 << 17)
    assert not tried
    later = Plan(CACHES, file)
    assert later.cut(kind(later), PANEL, pytest.fail) == Cut(1 << 17)
    assert list(file.parent.iterdir()) == [file]


def test_panels_go_one_by_one_where_that_is_faster():
    def trial(cut):
        now[0] += 1 if cut == Cut(40 << 10) else 2

    now = [0.0]
    known = Plan(CACHES, clock=lambda: now[0])
    assert known.cut(kind(known), PANEL, trial) == Cut(40 << 10)


def test_a_whole_panel_stays_whole_for_all_of_its_kind():
    clock, trial, _ = trials(fastest=2 * PANEL)
    assert Plan(CACHES, clock=clock).cut(kind(Plan(CACHES)), PANEL, trial).tile >= 2 * PANEL


def test_noise_does_not_change_the_derived_cut():
    def trial(cut):
        now[0] += 100 - (cut.tile > 1 << 17)

    now = [0.0]
    known = Plan(CACHES, clock=lambda: now[0])
    assert known.cut(kind(known), PANEL, trial) == Cut(40 << 10, True)


def test_a_busy_moment_does_not_change_the_derived_cut():
    def trial(cut):
        taken.append(cut)
        now[0] += 2 + 5 * (cut == Cut(40 << 10, True) and taken.count(cut) > 3)  # but for its first round

    now, taken = [0.0], []
    known = Plan(CACHES, clock=lambda: now[0])
    assert known.cut(kind(known), PANEL, trial) == Cut(40 << 10, True)


def test_what_fits_the_smallest_cache_is_not_tried():
    known = Plan(CACHES)
    assert known.cut(kind(known), 48 << 10, pytest.fail) == known.derived(kind(known))


def test_longer_trials_have_more_rounds():
    clock, trial, tried = trials(fastest=1 << 17)
    patient = Plan(CACHES, clock=clock)
    patient.seconds = 1e8
    patient.cut(kind(patient), PANEL, trial)
    assert len(tried) > 100


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"a": 1}', '{"a": [-1, true]}', '{"a": ["b", 0]}', '{"a": [null, 1]}', "\x00"]
)
def test_a_broken_file_is_as_none(tmp_path, content):
    file = tmp_path / "plan.json"
    file.write_text(content)
    assert Plan(CACHES, file).measured == {}


def test_what_another_process_has_found_meanwhile_stays(tmp_path):
    file = tmp_path / "plan.json"
    clock, trial, _ = trials(fastest=1 << 17)
    known = Plan(CACHES, file, clock)
    file.write_text('{"other": [5, true]}')
    known.cut(kind(known), PANEL, trial)
    assert Plan(CACHES, file).measured == {"other": Cut(5, True), str(kind(known)): Cut(1 << 17)}


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path):
    (tmp_path / "of").write_text("a file")
    clock, trial, _ = trials(fastest=1 << 17)
    known = Plan(CACHES, tmp_path / "of" / "plan.json", clock)
    assert known.cut(kind(known), PANEL, trial) == Cut(1 << 17)


def test_tuning_can_be_left_out():
    known = machine_plan()
    with tuning(False):
        assert not known.measures
        unknown = kind(known)._replace(lanes=81)
        assert known.cut(unknown, 10 * known.caches["L2"], pytest.fail) == known.derived(unknown)
        with tuning(True):
            assert known.measures
    assert known.measures


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("lanes", [20, 80])
@pytest.mark.parametrize("density", [0.05, 0.4])
def test_results_do_not_depend_on_tiles_to_the_bit(monkeypatch, group, lanes, density):
    rng = np.random.default_rng(5)
    rows, columns = 96, 70
    pattern = sample_pattern((rows // group, columns), round(density * rows // group * columns), rng)
    arena = Arena({"weight": (pattern, group, group) if group > 1 else (pattern, 1)}, {})
    weight = arena.matrices["weight"]
    weight.data[...] = rng.standard_normal(weight.nnz, np.float32)
    arena.touch()
    x, dy = (aligned_zeros((3, features, lanes)) for features in (columns, rows))
    x[...], dy[...] = rng.standard_normal(x.shape), rng.standard_normal(dy.shape)
    results = []
    for tile, bundled, band in ((1, False, 16), (10, True, 16), (33, False, 32), (1 << 20, True, 1 << 20)):
        machine = Plan(CACHES)
        cut = Cut(tile * 4 * lanes, bundled)
        monkeypatch.setattr(machine, "cut", lambda *_, of=cut: of)
        monkeypatch.setattr(machine, "band", lambda *_, of=band: of)
        monkeypatch.setattr("truesparse.sparse.products.machine_plan", lambda of=machine: of)
        y, dx = aligned_zeros(dy.shape), aligned_zeros(x.shape)
        multiply(y, weight, x, np.ones(rows, np.float32))
        multiply_transposed(dx, weight, dy)
        weight.grad[...] = 0
        add_gradient(weight, dy, x)
        results.append((y, dx, weight.grad.copy()))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_measuring_a_gradient_adds_it_once(monkeypatch):
    rng = np.random.default_rng(6)
    pattern = sample_pattern((40, 30), 300, rng)
    arena = Arena({"weight": (pattern, 1)}, {})
    weight = arena.matrices["weight"]
    x, dy = aligned_zeros((2, 30, 80)), aligned_zeros((2, 40, 80))
    x[...], dy[...] = rng.standard_normal(x.shape), rng.standard_normal(dy.shape)
    known = Plan({"L1": 4096, "L2": 8192})
    monkeypatch.setattr("truesparse.sparse.products.machine_plan", lambda: known)
    add_gradient(weight, dy, x)
    assert known.measured
    dense = np.einsum("pin,pjn->ij", dy, x)
    rows = np.repeat(np.arange(40), np.diff(weight.indptr))
    np.testing.assert_allclose(weight.grad, dense[rows, weight.indices], rtol=1e-4, atol=1e-4)


def test_a_mac_tells_sizes_by_sysctl_or_usual_ones_count(tmp_path, monkeypatch):
    def sysctl(command, **_):
        known = {"hw.l1dcachesize": "131072\n", "hw.perflevel0.l2cachesize": "12582912\n"}
        return SimpleNamespace(returncode=int(command[2] not in known), stdout=known.get(command[2], ""))

    usual = cache_bytes(tmp_path)
    monkeypatch.setattr(processor.sys, "platform", "darwin")
    for answer, sizes in ((sysctl, {"L1": 128 << 10, "L2": 12 << 20}), (raise_missing, {})):
        processor._mac_caches.cache_clear()
        monkeypatch.setattr(processor.subprocess, "run", answer)
        assert cache_bytes(tmp_path) == {**usual, **sizes}
    processor._mac_caches.cache_clear()


def raise_missing(*_, **__):
    raise FileNotFoundError("sysctl")


def test_sizes_of_caches_are_read_from_the_system(tmp_path):
    for number, (level, size, what) in enumerate(
        [(1, "48K", "Data"), (1, "32K", "Instruction"), (2, "2M", "Unified")]
    ):
        index = tmp_path / "cpu0" / "cache" / f"index{number}"
        index.mkdir(parents=True)
        for name, text in (("level", str(level)), ("size", size), ("type", what)):
            (index / name).write_text(text + "\n")
    (tmp_path / "cpu0" / "cache" / "index9").mkdir()  # says nothing
    sizes = cache_bytes(tmp_path, [0])
    assert (sizes["L1"], sizes["L2"]) == (48 << 10, 2 << 20)
    assert sizes["L3"] > 0
    assert describe_caches({"L1": 48 << 10, "L2": 2 << 20}) == "48 KB L1, 2 MB L2"


def test_the_file_is_another_one_for_another_processor(monkeypatch):
    here = plan._file_name()
    monkeypatch.setattr(plan, "processor_name", lambda: "another one")
    assert plan._file_name() != here


@pytest.mark.parametrize("product", ["forward", "transposed", "gradient"])
@pytest.mark.parametrize("measures", [False, True])
def test_where_tiles_begin_takes_no_more_than_the_index_of_a_wide_matrix(
    product: str, measures: bool
) -> None:
    size, each = 40_000, 3
    pattern = sample_pattern((size, size), size * each, np.random.default_rng(1))
    weight = Arena({"weight": (pattern, 1)}, {}).matrices["weight"]
    told: list[int] = []
    with tuning(measures):
        cut_for(product, weight, size, 80, lambda tile, *_: told.append(tile) if measures else None)
        told.append(cut_for(product, weight, size, 80)[0])
    assert all(-(-size // tile) <= each for tile in told)
    assert len(told) > measures
