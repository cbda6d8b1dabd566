from __future__ import annotations

import json

import pytest
from llvmlite.binding import get_host_cpu_name
from safetensors.numpy import load_file

from truesparse.sparse import plan
from truesparse.sparse.plan import Cut, Kind, Plan, machine_plan

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
    lines = run("info").stdout.splitlines()
    values = dict(line.split(maxsplit=1) for line in lines if len(line.split()) > 1)
    assert "KB L1" in values["caches"]
    assert values["microarchitecture"] == str(get_host_cpu_name())
    assert int(values["usable_cores"]) >= 1
    assert lines[-1].startswith("Measured: ")
    assert plan.machine_plan().caches["L1"] > 0


def test_info_shows_the_plan(run, small_caches):
    small_caches.caches.update(L1=48 << 10, L2=2 << 20)
    kinds = [Kind.of("forward", 1, 80, (6000, 1500), density, 2, 9) for density in (0.3, 0.2, 0.02)]
    for kind in kinds[1:]:
        small_caches.measured[kind] = small_caches.derived(kind)
    small_caches.measured[kinds[0]] = Cut(123 << 10)
    lines = run("info").stdout.splitlines()
    rows = [" ".join(line.split()) for line in lines]
    assert "weight pattern, density 0.08 and above 40 KB 160 106 together" in rows
    assert "weight pattern, density below 0.08 1,024 KB 4,096 2,730 one by one" in rows
    assert "groups of rows 1,024 KB 4,096 2,730 one by one" in rows
    assert lines[-1] == (
        f"Measured: 3 kinds of products, 1 with other tiles or order; kept in {small_caches.file}."
    )
    tiles = json.loads(run("info", "--json").stdout)["tiles"]
    assert tiles["derived"]["groups of rows"] == {"tile_bytes": 1 << 20, "order": "one by one"}
    assert [cut["as_derived"] for cut in tiles["measured"]].count(False) == 1
    assert {
        "product": "forward",
        "group": 1,
        "lanes": 80,
        "rows": 4096,
        "columns": 1024,
        "density": pytest.approx(0.3, rel=0.2),
        "threads": 2,
        "panels": "8 and more",
        "tile_bytes": 123 << 10,
        "order": "one by one",
        "as_derived": False,
    } in tiles["measured"]


def test_the_environment_turns_trials_off_in_a_run_and_in_info(run, small_caches, text_file, tmp_path):
    small_caches.measures = False  # as TRUESPARSE_TUNE=false makes it
    assert run("train", "lm", "--data", text_file, "--out", tmp_path / "a", *RUN).exit_code == 0
    assert not small_caches.measured
    assert "TRUESPARSE_TUNE" in run("info").stdout
    assert run("train", "lm", "--data", text_file, "--out", tmp_path / "b", "--tune", *RUN).exit_code == 0
    assert small_caches.measured


@pytest.mark.parametrize("flags", [["--density", "2"], ["--hidden-size", "0"], ["--seconds", "-1"]])
def test_what_cannot_be_measured_is_said(run, flags):
    result = run("tune", *flags)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) <= 4
