from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from truesparse.bench import contest, settings, sweep
from truesparse.bench.text_epochs import SparseEpochs
from truesparse.data import SequenceBatches
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.sources import resolve

TINY = ["--hidden-size", "16", "--vocab-size", "50", "--repeats", "2", "--seconds", "0.005", "--threads", "1"]
HAVE = [name for name in ("torch", "numpy") if settings.installed(name)]

STEP_KEYS = {
    "density",
    "ours_ms",
    "masked_torch_ms",
    "masked_numpy_ms",
    "ratio_torch",
    "ratio_numpy",
    "ours_peak_bytes",
    "masked_peak_bytes",
    "memory_ratio",
    "fraction_of_ideal",
    "tokens_per_second",
    "flops",
    "gflops",
    "nnz",
    "bytes_per_nonzero",
    "ours_quartiles_ms",
    "ours_threads",
    "loss_difference",
    "environment",
}


def is_png(path: Path) -> bool:
    start = path.read_bytes()[:24]
    return start[:8] == b"\x89PNG\r\n\x1a\n" and min(struct.unpack(">II", start[16:24])) > 100


@pytest.fixture
def plot(tmp_path: Path) -> list[str]:
    """The flag for a picture, where matplotlib is there to draw one."""
    return ["--plot", str(tmp_path / "out.png")] if settings.installed("matplotlib") else []


def test_step(run, tmp_path: Path, plot: list[str]) -> None:
    sizes = ["--layers", "1", "--batch-size", "4", "--bptt", "10", "--density", "0.5,0.2"]
    result = run("bench", "step", *sizes, *TINY, "--json", tmp_path / "out.json", *plot)
    assert result.exit_code == 0, result.output
    records = json.loads((tmp_path / "out.json").read_text())
    assert [record["density"] for record in records] == [0.5, 0.2]
    for record in records:
        assert set(record) >= STEP_KEYS
        assert record["ours_ms"] > 0
        assert set(record["baselines"]) == set(HAVE)
        assert all(of["threads"] == 1 for of in record["baselines"].values())
        for name in ("torch", "numpy"):
            measured = record[f"masked_{name}_ms"], record[f"ratio_{name}"]
            assert measured[1] == record["baselines"].get(name, {}).get("ratio")
            if name in HAVE:
                assert measured[1] == pytest.approx(measured[0] / record["ours_ms"])
            else:
                assert measured == (None, None)
        assert record["loss_difference"] < 1e-4
        assert record["environment"]["threads"] == record["ours_threads"] == 1
        assert record["environment"]["cpu"]
    assert records[0]["nnz"] == round(0.5 * records[0]["dense_parameters"])
    assert "Training step" in result.stdout
    assert "at most 1 threads a side" in result.stdout
    assert "masked NumPy" in result.stdout
    assert "density 0.2" in result.stderr
    assert not plot or is_png(tmp_path / "out.png")


def test_step_of_a_classifier_where_dense_has_no_memory(
    run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("truesparse.bench.memory.available_bytes", lambda: 1000)
    monkeypatch.setattr("truesparse.bench.report.others_win", lambda kind, records: [f"{kind}: one is"])
    sizes = ["--task", "classifier", "--batch-size", "4", "--bptt", "10", "--density", "0.3"]
    result = run("bench", "step", *sizes, "--baseline", "numpy", *TINY, "--json", tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Where others are faster:\nstep: one is\nTraining step")
    assert "the masked NumPy model is left out: it needs about" in result.stdout
    (record,) = json.loads((tmp_path / "out.json").read_text())
    assert record["task"] == "classifier"
    assert record["ours_ms"] > 0
    assert record["unavailable"] == {"numpy": "there is not enough memory"}
    for key in ("masked_numpy_ms", "ratio_numpy", "masked_peak_bytes", "fraction_of_ideal"):
        assert record[key] is None


def test_kernels(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plot: list[str]) -> None:
    monkeypatch.setattr("truesparse.bench.kernels.ROOF_SECONDS", 0.002)
    monkeypatch.setattr("truesparse.bench.kernels.libraries", lambda: ["ours", "scipy", "numpy-dense"])
    flags = "--shape 40x30 --density 0.2 --lanes 20 --window none --repeats 2 --seconds 0.002 --threads 1"
    result = run("bench", "kernels", *flags.split(), "--json", tmp_path / "out.json", *plot)
    assert result.exit_code == 0, result.output
    records = json.loads((tmp_path / "out.json").read_text())
    assert [record["product"] for record in records] == ["forward", "transposed", "gradient", "layer"]
    for record in records:
        assert set(record["microseconds"]) == {"ours", "scipy", "numpy-dense"}
        assert record["fraction_of_roof"] > 0
        assert record["threads"] == {"ours": 1, "scipy": 1, "numpy-dense": 1}
        assert record["roof"] in ("FMA", "L1", "L2", "L3", "memory")
    assert "roofs with 1 threads: multiply-add" in result.stdout
    assert "forward, 40 × 30" in result.stdout
    assert not plot or is_png(tmp_path / "out.png")


def test_sweep(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plot: list[str]) -> None:
    monkeypatch.setattr(settings, "installed", lambda package: package == "matplotlib")
    flags = "--density 0.2,0.9 --batch-size 4 --hidden-size 16 --vocab-size 50 --bptt 10 --repeats 1"
    flags += " --seconds 0.002 --threads 1"
    result = run("bench", "sweep", *flags.split(), "--json", tmp_path / "out.json", *plot)
    assert result.exit_code == 0, result.output
    records = json.loads((tmp_path / "out.json").read_text())
    assert [(record["hidden_size"], record["batch_size"]) for record in records] == [(16, 4), (16, 4)]
    for record in records:
        assert record["baseline"] == "numpy-dense"
        assert record["baselines"]["numpy-dense"]["ms"] == record["dense_ms"]
        assert record["ours_threads"] == record["dense_threads"] == record["environment"]["threads"] == 1
        assert record["ratio"] == pytest.approx(record["dense_ms"] / record["ours_ms"])
        assert "crossover" in record
    assert "below 1 dense wins" in result.stdout
    assert not plot or is_png(tmp_path / "out.png")


def test_a_sweep_goes_on_without_a_dense_side_that_fails(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "installed", lambda package: False)
    failures = iter([contest.ContestantError("numpy-dense", "NumPy dense failed: it is tired")])

    def measured(*arguments: Any) -> Any:
        for failure in failures:
            raise failure
        return contest.measure(*arguments)

    monkeypatch.setattr(sweep, "measure", measured)
    flags = (
        "--density 0.2 --batch-size 4 --hidden-size 16 --vocab-size 50 --bptt 10 --repeats 1 --seconds 0.002"
    )
    result = run("bench", "sweep", *flags.split(), "--threads", "1")
    assert result.exit_code == 0, result.output
    assert "it is tired; its numbers are missing at hidden size 16, batch 4" in " ".join(
        result.output.split()
    )
    assert "against no dense model" in " ".join(result.output.split())


def test_inference(run, tmp_path: Path, plot: list[str]) -> None:
    flags = ["--layers", "1", "--density", "0.5", "--batch-size", "1,4", "--baseline", "numpy"]
    result = run("bench", "inference", *flags, *TINY, "--json", tmp_path / "out.json", *plot)
    assert result.exit_code == 0, result.output
    records = json.loads((tmp_path / "out.json").read_text())
    assert [record["batch_size"] for record in records] == [1, 4]
    for record in records:
        assert record["tokens_per_second"] == pytest.approx(record["batch_size"] / record["ours_ms"] * 1e3)
        assert record["ratio_numpy"] > 0
        assert record["ours_threads"] == record["masked_numpy_threads"] == 1
        assert record["masked_torch_threads"] is None
        assert record["masked_torch_ms"] is None
        assert record["runtime_ratio_numpy"] == pytest.approx(
            record["masked_numpy_ms"] / record["runtime_ms"]
        )
    if shutil.which("cc"):
        assert records[0]["c_ms"] > 0
    assert records[1]["c_ms"] is None
    assert "tokens/s" in result.stdout
    assert not plot or is_png(tmp_path / "out.png")


def test_inference_with_shared_connections(run, tmp_path: Path) -> None:
    flags = [
        "--density",
        "0.5",
        "--batch-size",
        "1",
        "--baseline",
        "numpy",
        "--pattern",
        "unit",
        "--output-group",
        "2",
    ]
    result = run("bench", "inference", *flags, *TINY, "--json", tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    (record,) = json.loads((tmp_path / "out.json").read_text())
    assert (record["sizes"]["pattern"], record["sizes"]["output_group"]) == ("unit", 2)


def test_where_others_are_faster_is_said_plainly() -> None:
    from truesparse.bench.report import others_win

    records = [
        {"density": 0.9, "baselines": {"torch-dense": {"ratio": 0.5}, "torch": {"ratio": 1.2}}},
        {"density": 0.2, "baselines": {"torch-dense": {"ratio": 3.0}}},
    ]
    sentence = "PyTorch dense is faster at density 0.9: truesparse runs at 0.50 times its speed"
    assert others_win("step", records) == [sentence]
    record = {"density": 0.9, "batch_size": 8, "ratio_torch": 0.5, "ratio_numpy": None}
    assert others_win("inference", [record]) == [
        "PyTorch is faster at density 0.9, batch 8: truesparse runs at 0.50 times its speed"
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["step", "--density", "0.2,1.5"], "--density must lie above 0 and be at most 1, not 1.5"),
        (["step", "--baseline", "cupy"], "--baseline knows torch, torch-bf16, torch-compile, torch-dense"),
        (["step", "--output-group", "3"], "a vocabulary of 10000 cannot be cut into groups of 3"),
        (
            ["step", "--task", "classifier", "--output-group", "2"],
            "--output-group is for the words of a language model; leave it out",
        ),
        (["step", "--threads", "4096"], "available cores"),
        (["step", "--json", "no/such/folder.json"], "there is no folder"),
        (["kernels", "--shape", "12"], "--shape must be two numbers"),
        (["kernels", "--window", "12"], "--window must be two numbers"),
        (["sweep", "--batch-size", "0"], "--batch-size must be at least 1, not 0"),
        (["inference", "--density", "x"], "--density must be numbers with commas"),
    ],
)
def test_refusals(run, arguments: list[str], sentence: str) -> None:
    result = run("bench", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stdout == ""


def test_a_baseline_that_is_not_installed(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "installed", lambda package: False)
    result = run("bench", "step", "--baseline", "torch")
    assert result.exit_code == 2
    assert 'torch is not installed; install it with: pip install "truesparse[bench]"' in result.stderr


def test_a_baseline_that_fails_is_left_out(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ask = contest.Contestant.ask

    def failing(self: contest.Contestant, question: str, **arguments: object) -> dict[str, object]:
        if self.side == "numpy" and question == "turn":
            raise contest.ContestantError("numpy", "the process of NumPy ended (exit code -9): it was killed")
        return ask(self, question, **arguments)

    monkeypatch.setattr(contest.Contestant, "ask", failing)
    sizes = ["--layers", "1", "--batch-size", "4", "--bptt", "10", "--density", "0.5", "--baseline", "numpy"]
    result = run("bench", "step", *sizes, *TINY, "--json", tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    reason = "the process of NumPy ended (exit code -9): it was killed"
    assert f"masked NumPy is not available: {reason}" in result.stdout
    (record,) = json.loads((tmp_path / "out.json").read_text())
    assert record["baselines"] == {}
    assert record["unavailable"] == {"numpy": reason}
    assert record["masked_numpy_ms"] is None


def test_a_baseline_whose_memory_is_too_small_to_see(
    run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ask = contest.Contestant.ask

    def without_memory(self: contest.Contestant, question: str, **arguments: object) -> dict[str, object]:
        answer = ask(self, question, **arguments)
        return answer | {"peak_bytes": 0} if question == "finish" and self.side == "numpy" else answer

    monkeypatch.setattr(contest.Contestant, "ask", without_memory)
    sizes = ["--layers", "1", "--batch-size", "4", "--bptt", "10", "--density", "0.5", "--baseline", "numpy"]
    plot = ["--plot", tmp_path / "step.png"] if settings.installed("matplotlib") else []
    result = run("bench", "step", *sizes, *TINY, *plot, "--json", tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    (record,) = json.loads((tmp_path / "out.json").read_text())
    assert (record["masked_peak_bytes"], record["memory_ratio"]) == (0, None)


def test_step_with_connections_of_units(run, tmp_path: Path) -> None:
    sizes = ["--layers", "1", "--batch-size", "4", "--bptt", "10", "--density", "0.5", "--baseline", "numpy"]
    flags = ["--pattern", "unit", "--output-group", "2", "--json", tmp_path / "out.json"]
    result = run("bench", "step", *sizes, *TINY, *flags)
    assert result.exit_code == 0, result.output
    (record,) = json.loads((tmp_path / "out.json").read_text())
    assert record["loss_difference"] < 1e-4
    assert (record["sizes"]["pattern"], record["sizes"]["output_group"]) == ("unit", 2)


def test_from_a_source_tree() -> None:
    """benchmarks/README.md says so."""
    command = [sys.executable, "-m", "truesparse", "bench", "step", "--help"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert "bench step" in done.stdout.splitlines()[0]


def test_epoch(run, labelled_file: Path, tmp_path: Path) -> None:
    arguments = ["--data", labelled_file, "--hidden-size", "8", "--batch-size", "8", "--density", "0.4"]
    fast = ["--threads", "1", "--repeats", "2"]
    result = run("bench", "epoch", *arguments, *fast, "--json", tmp_path / "out.json")
    if "torch" not in HAVE:
        assert result.exit_code == 2
        assert "torch is not installed" in result.stderr
        return
    assert result.exit_code == 0, result.output
    (record,) = json.loads((tmp_path / "out.json").read_text())
    assert record["loss_difference"] < 1e-5
    assert record["ratio_torch"] == pytest.approx(record["masked_torch_seconds"] / record["ours_seconds"])
    assert record["texts"] > 8 * (record["batches"] - 1)
    assert record["tokens"] > record["texts"]
    assert 0 < record["nnz"] < record["dense_parameters"]
    assert "Epoch of training" in result.stdout


def epoch_config(labelled_file: Path, **flags: Any) -> ClassifierConfig:
    given = {"data": str(labelled_file), "hidden_size": 8, "batch_size": 8, "density": 0.4, **flags}
    return resolve(given, environment={}, task=ClassifierConfig).filled()


def epoch_sides(labelled_file: Path, **flags: Any) -> tuple[Any, Any]:
    """The sparse side of a small epoch, and the masked one."""
    from truesparse.bench.masked_epochs import MaskedEpochs

    config = epoch_config(labelled_file, **flags)
    return SparseEpochs(config), MaskedEpochs(config)


@pytest.mark.skipif("torch" not in HAVE, reason="torch is not installed")
def test_epochs_of_dense_models(labelled_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All begin with the same loss; that without masks learns faster than the one with them."""
    import torch

    from truesparse.bench.masked_epochs import MaskedEpochs

    monkeypatch.setattr(torch, "compile", lambda function: function)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    config = epoch_config(labelled_file, lr=0.01, dropout=0.0)
    options: tuple[list[str], ...] = ([], ["compile"], ["bf16"], ["dense"])
    losses = []
    for chosen in options:
        side = MaskedEpochs(config, chosen)
        first = side.loss()
        side.step()
        losses.append((first, side.loss()))
    masked, compiled, rough, dense = losses
    assert compiled == pytest.approx(masked, rel=1e-5)
    assert rough == pytest.approx(masked, rel=0.03)
    assert dense[0] == masked[0]
    assert dense[1] < masked[1] - 1e-3


@pytest.mark.skipif("torch" not in HAVE, reason="torch is not installed")
def test_keras_and_pytorch_take_the_same_course(labelled_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backends = [name for name in ("jax", "tensorflow", "torch") if settings.installed(name)]
    monkeypatch.setenv("KERAS_BACKEND", backends[0])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pytest.importorskip("keras")
    from truesparse.bench.keras_epochs import KerasEpochs
    from truesparse.bench.masked_epochs import MaskedEpochs

    config = epoch_config(labelled_file, lr=0.01, dropout=0.0, clip=0.5)
    sides = KerasEpochs(config), MaskedEpochs(config, ["dense"])
    losses = []
    for _ in range(2):
        losses.append([side.loss() for side in sides])
        for side in sides:
            side.step()
    assert losses[1][0] < losses[0][0] - 1e-3
    for ours, theirs in losses:
        assert ours == pytest.approx(theirs, rel=1e-3)
    assert sides[0].facts()["keras"]


@pytest.mark.skipif("torch" not in HAVE, reason="torch is not installed")
@pytest.mark.parametrize("method", ["static", "snip"])
def test_masked_and_sparse_epochs_take_the_same_course(labelled_file: Path, method: str) -> None:
    sides = epoch_sides(labelled_file, method=method, lr=0.01, dropout=0.0, clip=0.0)
    facts = sides[0].facts()
    assert facts["nnz"] == pytest.approx(0.4 * facts["dense_parameters"], abs=2)
    losses = []
    for _ in range(3):
        losses.append([side.loss() for side in sides])
        for side in sides:
            side.step()
    assert losses[2][0] < losses[0][0]
    for ours, masked in losses:
        assert masked == pytest.approx(ours, rel=1e-4)


@pytest.mark.skipif("torch" not in HAVE, reason="torch is not installed")
def test_both_sides_of_an_epoch_begin_with_its_first_batch(
    labelled_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = epoch_sides(labelled_file)
    for side in sides:
        side.tune()
    asked: list[tuple[int, int]] = []
    batch = SequenceBatches.batch
    monkeypatch.setattr(
        SequenceBatches, "batch", lambda self, *place: asked.append(place) or batch(self, *place)
    )
    for side in sides:
        side.step()
    count = sides[0].facts()["batches"]
    assert asked == [(0, k) for k in range(count)] * 2


@pytest.mark.parametrize("method", ["dense", "gmp", "small-dense"])
def test_epoch_of_a_method_that_is_not_sparse_from_the_start(
    run, labelled_file: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(settings, "installed", lambda package: True)
    result = run("bench", "epoch", "--data", labelled_file, "--method", method)
    assert result.exit_code == 2
    assert f"--method {method} is not sparse from the start" in result.stderr
