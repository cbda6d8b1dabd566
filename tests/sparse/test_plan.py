"""Tiles: derived from the caches, corrected by a measurement, and without influence on any result."""

import json
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from numba import config
from numba.core.registry import cpu_target

from truesparse.errors import UsageError
from truesparse.kernels import processor
from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.processor import cache_bytes, describe_caches
from truesparse.sparse import Arena, cuts
from truesparse.sparse.plan import Cut, Kind, Plan, machine_plan, tuning
from truesparse.sparse.products import add_gradient, cut_for, multiply, multiply_transposed
from truesparse.topology import sample_pattern

CACHES = {"L1": 48 << 10, "L2": 1 << 20}
SHAPE = 6000, 1500
PANEL = 1500 * 320  # bytes


TICK = 1e-9  # seconds


def kind(density=0.2, group=1, threads=1, panels=9):
    return Kind.of("forward", group, 80, SHAPE, density, threads, panels)


def trials(fastest, tick=TICK):
    """A clock, and a product that takes as long as its tile is far from the fastest."""
    now, tried = [0.0], []

    def trial(cut):
        tried.append(cut)
        now[0] += tick * (abs(cut.tile - fastest) + 2 - cut.bundled)

    return (lambda: now[0]), trial, tried


def test_cuts_follow_from_the_caches():
    known = Plan(CACHES)
    assert known.derived(kind(0.2)) == Cut(40 << 10, True)
    assert known.derived(kind(0.05)) == known.derived(kind(0.2, 4)) == Cut(1 << 19)
    half = Plan({level: size // 2 for level, size in CACHES.items()})
    assert half.derived(kind()) == Cut(20 << 10, True)
    for cut in (Cut(1), Cut(1, True)):
        assert half.band(cut, 320, 150.0) < known.band(cut, 320, 150.0)
    assert known.band(Cut(1, True), 320, 1e9) == 16


def test_the_fastest_cut_is_taken_and_kept(tmp_path):
    clock, trial, tried = trials(fastest=1 << 17)  # an eighth of the L2 cache
    file = tmp_path / "of" / "plan.json"
    first = Plan(CACHES, file, clock)
    told = []
    first.report = lambda *facts: told.append(facts)
    assert first.cut(kind(), PANEL, trial) == Cut(1 << 17)
    assert told[0][:2] == (kind(), Cut(1 << 17))
    assert told[0][2] > 1
    assert (
        len(set(tried)) == 8
    )  # two for an L1 cache in both orders, three for an L2 cache, and the whole panel
    tried.clear()
    assert first.cut(kind(), PANEL, trial) == Cut(1 << 17)
    assert not tried
    later = Plan(CACHES, file)
    assert later.cut(kind(), PANEL, pytest.fail) == Cut(1 << 17)
    assert list(file.parent.iterdir()) == [file]


def test_panels_go_one_by_one_where_that_is_faster():
    def trial(cut):
        now[0] += TICK * (1 if cut == Cut(40 << 10) else 2)

    now = [0.0]
    known = Plan(CACHES, clock=lambda: now[0])
    assert known.cut(kind(), PANEL, trial) == Cut(40 << 10)


def test_a_whole_panel_stays_whole_for_all_of_its_kind():
    clock, trial, _ = trials(fastest=2 * PANEL)
    assert Plan(CACHES, clock=clock).cut(kind(), PANEL, trial).tile >= 2 * PANEL


def test_noise_does_not_change_the_derived_cut():
    def trial(cut):
        now[0] += TICK * (100 - (cut.tile > 1 << 17))

    now = [0.0]
    known = Plan(CACHES, clock=lambda: now[0])
    assert known.cut(kind(), PANEL, trial) == Cut(40 << 10, True)


def test_a_busy_moment_does_not_change_the_derived_cut():
    def trial(cut):
        taken.append(cut)
        now[0] += TICK * (
            2 + 5 * (cut == Cut(40 << 10, True) and taken.count(cut) > 3)
        )  # but for its first round

    now, taken = [0.0], []
    known = Plan(CACHES, clock=lambda: now[0])
    assert known.cut(kind(), PANEL, trial) == Cut(40 << 10, True)


def test_what_fits_the_smallest_cache_is_not_tried():
    known = Plan(CACHES)
    assert known.cut(kind(), 48 << 10, pytest.fail) == known.derived(kind())


def test_longer_trials_have_more_rounds():
    clock, trial, tried = trials(fastest=1 << 17, tick=1e-7)
    patient = Plan(CACHES, clock=clock)
    patient.seconds = 2.0
    patient.cut(kind(), PANEL, trial)
    assert len(tried) > 100
    assert patient.seconds <= clock() < 1.1 * patient.seconds


@pytest.mark.parametrize(
    "cut",
    ["1", "[-1, true]", '["b", 0]', "[null, 1]", "[Infinity, true]", "[1e999, true]", "[NaN, true]", "[5]"],
)
def test_a_broken_cut_is_as_none(tmp_path, cut):
    file = tmp_path / "plan.json"
    file.write_text(f'{{"{kind()}": {cut}}}')
    assert Plan(CACHES, file).measured == {}


@pytest.mark.parametrize("content", ["", "[]", "{", "\x00", "[" * 100_000, '{"a":' * 100_000])
def test_a_broken_file_is_as_none(tmp_path, content):
    file = tmp_path / "plan.json"
    file.write_text(content)
    assert Plan(CACHES, file).measured == {}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "forward",
        f"{kind()} 1",
        "forward 1 80 13 11 5 1 3",
        "forward 1 80 99 11 5 1 2",
        "x 1 8 -1 1 5 1 2",
    ],
)
def test_what_is_no_kind_of_products_is_passed_over(tmp_path, name):
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({name: [5, True]}))
    assert Plan(CACHES, file).measured == {}


def test_a_kind_is_read_as_it_was_written():
    for panels, words in ((1, "1"), (2, "2 to 7"), (7, "2 to 7"), (8, "8 and more"), (99, "8 and more")):
        assert Kind.read(str(kind(panels=panels))) == kind(panels=panels)
        assert kind(panels=panels).how_many_panels == words
    assert Kind.read(str(kind(density=0.0))).density < 1e-9
    assert kind().size == (4096, 1024)


@pytest.mark.parametrize("seconds", [0.03, 0.05, 0.1, 1.0, 9.0])
def test_a_trial_ends_after_a_second(seconds):
    now, tried = [0.0], []

    def trial(cut):
        tried.append(cut)
        now[0] += seconds * (0.5 if cut == Cut(40 << 10) else 1)

    known = Plan(CACHES, clock=lambda: now[0])
    found = known.cut(kind(), PANEL, trial)
    assert now[0] <= max(1.0 + 3 * seconds, 3 * seconds)
    decided = seconds < 0.1  # two rounds of what is not slow, after one of all
    assert found == (Cut(40 << 10) if decided else known.derived(kind()))
    assert known.measured == {kind(): found}


def test_slow_cuts_drop_out_after_a_round():
    clock, trial, tried = trials(fastest=1 << 17)
    known = Plan(CACHES, clock=clock)
    known.cut(kind(), PANEL, trial)
    assert {cut: tried.count(cut) for cut in tried} == {
        cut: {known.derived(kind()): 7, Cut(1 << 17): 6}.get(cut, 2) for cut in tried
    }


def test_what_another_process_has_found_meanwhile_stays(tmp_path):
    file = tmp_path / "plan.json"
    clock, trial, _ = trials(fastest=1 << 17)
    known = Plan(CACHES, file, clock)
    file.write_text(json.dumps({str(kind(threads=2)): [5, True]}))
    known.cut(kind(), PANEL, trial)
    assert Plan(CACHES, file).measured == {kind(threads=2): Cut(5, True), kind(): Cut(1 << 17)}
    assert known.measured == Plan(CACHES, file).measured


def test_what_another_process_has_measured_anew_counts(tmp_path):
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({str(kind(threads=2)): [5, True]}))
    clock, trial, _ = trials(fastest=1 << 17)
    known = Plan(CACHES, file, clock)
    file.write_text(json.dumps({str(kind(threads=2)): [7, True]}))
    known.cut(kind(), PANEL, trial)
    assert Plan(CACHES, file).measured[kind(threads=2)] == Cut(7, True)


def test_threads_of_some_plans_write_to_one_file(tmp_path):
    """Plans of their own, as in processes: none loses what another one finds."""
    file = tmp_path / "plan.json"
    shared = Plan(CACHES, file)
    work = [(shared, range(12)), (shared, range(12, 24)), *((Plan(CACHES, file), [k]) for k in range(24, 48))]
    start, failed = threading.Barrier(len(work)), []

    def find(one, numbers):
        start.wait()
        try:
            for number in numbers:
                one.cut(kind(threads=number), PANEL, pytest.fail)
        except Exception as error:
            failed.append(error)

    for one, _ in work:
        one._fastest = lambda *_: Cut(1 << 17)
    workers = [threading.Thread(target=find, args=each) for each in work]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failed
    assert set(Plan(CACHES, file).measured) == {kind(threads=k) for k in range(48)}
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path):
    (tmp_path / "of").write_text("a file")
    clock, trial, _ = trials(fastest=1 << 17)
    known = Plan(CACHES, tmp_path / "of" / "plan.json", clock)
    assert known.cut(kind(), PANEL, trial) == Cut(1 << 17)


def test_tuning_can_be_left_out():
    known = machine_plan()
    with tuning(False):
        assert not known.measures
        unknown = kind()._replace(lanes=81)
        assert known.cut(unknown, 10 * known.caches["L2"], pytest.fail) == known.derived(unknown)
        with tuning(True):
            assert known.measures
    assert known.measures


@pytest.mark.parametrize(("text", "measures"), [(None, True), ("1", True), ("off", False), ("False", False)])
def test_the_environment_turns_trials_off(monkeypatch, text, measures):
    if text is None:
        monkeypatch.delenv("TRUESPARSE_TUNE", raising=False)
    else:
        monkeypatch.setenv("TRUESPARSE_TUNE", text)
    machine_plan.cache_clear()
    try:
        with tuning(None):
            assert machine_plan().measures is measures
        with tuning(True):
            assert machine_plan().measures
        assert machine_plan().measures is measures
    finally:
        machine_plan.cache_clear()


def test_an_environment_that_is_neither_is_named(monkeypatch):
    monkeypatch.setenv("TRUESPARSE_TUNE", "maybe")
    machine_plan.cache_clear()
    with pytest.raises(UsageError, match="TRUESPARSE_TUNE is 'maybe'; it must be true or false"):
        machine_plan()


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


def test_a_trial_leaves_where_the_tiles_of_one_cut_begin(monkeypatch):
    pattern = sample_pattern((400, 300), 30_000, np.random.default_rng(7))
    weight = Arena({"weight": (pattern, 1)}, {}).matrices["weight"]
    x, y = aligned_zeros((2, 300, 80)), aligned_zeros((2, 400, 80))
    known = Plan({"L1": 4096, "L2": 8192})
    monkeypatch.setattr("truesparse.sparse.products.machine_plan", lambda: known)
    for product in (
        lambda: multiply(y, weight, x, np.zeros(400, np.float32)),
        lambda: multiply_transposed(x, weight, y),
        lambda: add_gradient(weight, y, x),
    ):
        before = len(known.measured)
        product()
        assert len(known.measured) == before + 1
        assert len(weight._tiles) == 1
    assert sum(tiles.nbytes for tiles in weight._tiles.values()) <= weight.index_bytes


def test_some_rows_and_a_short_window_do_not_decide_for_all(monkeypatch):
    pattern = sample_pattern((400, 300), 30_000, np.random.default_rng(7))
    weight = Arena({"weight": (pattern, 1)}, {}).matrices["weight"]
    x, bias = aligned_zeros((8, 300, 80)), np.zeros(400, np.float32)
    known = Plan({"L1": 4096, "L2": 8192})
    monkeypatch.setattr("truesparse.sparse.products.machine_plan", lambda: known)
    multiply(aligned_zeros((8, 100, 80)), weight, x, bias, 200)
    assert not known.measured
    multiply(aligned_zeros((1, 400, 80)), weight, x[:1], bias)
    multiply(aligned_zeros((8, 400, 80)), weight, x, bias)
    assert [kind.panels for kind in known.measured] == [0, 2]


@pytest.mark.parametrize(
    ("of", "name", "value"),
    [
        (cuts, "processor_name", lambda: "another one"),
        (config, "CPU_NAME", "haswell"),
        (cpu_target.target_context.codegen(), "_tm_features", "+avx2"),
    ],
)
def test_the_file_is_another_one_for_another_processor(monkeypatch, of, name, value):
    here = cuts.file_name()
    monkeypatch.setattr(of, name, value)
    assert cuts.file_name() != here


@pytest.mark.parametrize("name", ["kernels/spmm.py", "kernels/sddmm.py", "sparse/plan.py"])
def test_the_file_is_another_one_for_other_sources(monkeypatch, tmp_path, name):
    package = tmp_path / "truesparse"
    for source in cuts._SOURCES:
        (package / source).parent.mkdir(parents=True, exist_ok=True)
        (package / source).write_bytes((cuts._PACKAGE / source).read_bytes())
    here = cuts.file_name()
    monkeypatch.setattr(cuts, "_PACKAGE", package)
    assert cuts.file_name() == here
    (package / name).write_text("# another one\n")
    assert cuts.file_name() != here


@pytest.mark.parametrize("product", ["forward", "transposed", "gradient"])
@pytest.mark.parametrize("measures", [False, True])
def test_where_tiles_begin_takes_no_more_than_the_index_of_a_wide_matrix(
    monkeypatch: pytest.MonkeyPatch, product: str, measures: bool
) -> None:
    size, each = 40_000, 3
    pattern = sample_pattern((size, size), size * each, np.random.default_rng(1))
    weight = Arena({"weight": (pattern, 1)}, {}).matrices["weight"]
    told: list[int] = []
    machine = Plan()  # keeps in no file what this trial finds
    machine.measures = measures
    monkeypatch.setattr("truesparse.sparse.products.machine_plan", lambda: machine)
    cut_for(product, weight, (1, size, 80), lambda tile, *_: told.append(tile) if measures else None)
    told.append(cut_for(product, weight, (1, size, 80))[0])
    assert all(-(-size // tile) <= each for tile in told)
    assert len(told) > measures
