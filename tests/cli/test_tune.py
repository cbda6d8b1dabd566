from __future__ import annotations

import pytest
from llvmlite.binding import get_host_cpu_name
from safetensors.numpy import load_file

from truesparse.sparse import plan
from truesparse.sparse.plan import Cut, Plan, machine_plan

TINY = ("--hidden-size", 24, "--vocab-size", 40, "--batch-size", 16, "--bptt", 8, "--density", 0.3)
RUN = ("--hidden-size", 24, "--max-steps", 12, "--batch-size", 8, "--bptt", 12, "--json", "--quiet")


@pytest.fixture
def small_caches(monkeypatch, tmp_path):
    """A plan of a processor on which nothing fits, kept in a file of the test's own."""
    known = Plan({"L1": 256, "L2": 4096}, tmp_path / "plan.json")
    for module in ("sparse.plan", "sparse.products", "bench.tune"):
        monkeypatch.setattr(f"truesparse.{module}.machine_plan", lambda: known, raising=False)
    return known


def test_tune_measures_both_patterns_and_keeps_it(run, small_caches):
    result = run("tune", *TINY, "--seconds", 0)
    assert result.exit_code == 0, result.output
    for product in ("forward", "transposed", "gradient"):
        patterns = {line.split()[1] for line in result.stdout.splitlines() if line.startswith(product)}
        assert patterns == {"weight", "unit"}
    assert result.stdout.splitlines()[-1] == f"kept in {small_caches.file}"
    assert Plan(small_caches.caches, small_caches.file).measured == small_caches.measured


def test_a_run_ends_the_same_whatever_the_plan(run, small_caches, text_file, tmp_path, monkeypatch):
    measured = run("train", "lm", "--data", text_file, "--out", tmp_path / "a", *RUN)
    assert small_caches.measured
    small_caches.measured.clear()
    derived = run("train", "lm", "--data", text_file, "--out", tmp_path / "b", "--no-tune", *RUN)
    assert not small_caches.measured
    monkeypatch.setattr(small_caches, "derived", lambda kind: Cut(1 << 30, True))
    whole = run("train", "lm", "--data", text_file, "--out", tmp_path / "c", "--no-tune", *RUN)
    assert [result.exit_code for result in (measured, derived, whole)] == [0, 0, 0]
    models = [load_file(tmp_path / name / "model.safetensors") for name in "abc"]
    for other in models[1:]:
        assert {name: array.tobytes() for name, array in other.items()} == {
            name: array.tobytes() for name, array in models[0].items()
        }


def test_info_tells_what_is_known(run):
    machine_plan.cache_clear()
    lines = dict(line.split(maxsplit=1) for line in run("info").stdout.splitlines())
    assert "KB L1" in lines["caches"]
    assert lines["microarchitecture"] == str(get_host_cpu_name())
    assert int(lines["usable_cores"]) >= 1
    assert lines["tiles"].startswith("measured for ")
    assert plan.machine_plan().caches["L1"] > 0


@pytest.mark.parametrize("flags", [["--density", "2"], ["--hidden-size", "0"], ["--seconds", "-1"]])
def test_what_cannot_be_measured_is_said(run, flags):
    result = run("tune", *flags)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) <= 4
