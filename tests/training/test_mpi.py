"""Training on several ranks, which `mpi_program.py` runs; many checks in one launch."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from training_helpers import MPIEXEC, records

from conftest import write_text
from truesparse.bench.network import Cost, Network
from truesparse.bench.settings import installed
from truesparse.data.batches import Batch
from truesparse.errors import TruesparseError, UsageError
from truesparse.sparse import Arena, Pattern
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.ranks import shared
from truesparse.training.communicator import Communicator, same_everywhere
from truesparse.training.environment import versions
from truesparse.training.lockstep import check_equal

PROGRAM = Path(__file__).with_name("mpi_program.py")


def _missing() -> str:
    try:
        import mpi4py  # noqa: F401
    except ImportError:
        return "mpi4py is not installed"
    return "" if MPIEXEC else "there is no mpiexec"


needs_mpi = pytest.mark.skipif(bool(_missing()), reason=_missing() or "there is MPI")


def launch(ranks: int, *arguments: object) -> subprocess.Popen[str]:
    paths = str(PROGRAM.parents[1]), os.environ.get("PYTHONPATH", "")  # also of a checkout, not installed
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def launched(ranks: int, *arguments: object) -> tuple[int, str, str]:
    """Exit code, and what was printed and said."""
    job = launch(ranks, *arguments)
    out, errors = job.communicate(timeout=300)
    return job.returncode, out, errors


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mpi")
    write_text(path / "text.txt")
    return path


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[int, dict[str, Any]]:
    """What 2 and 4 ranks came to."""
    for ranks in (2, 4):
        code, _, errors = launched(ranks, PROGRAM, folder)
        assert code == 0, errors
    return {ranks: json.loads((folder / f"found{ranks}.json").read_text()) for ranks in (2, 4)}


@needs_mpi
def test_ranks_learn_what_one_process_learns(found: dict[int, dict[str, Any]]) -> None:
    for ranks, results in found.items():
        assert results["size"] == ranks
        for name, case in results["compared"].items():
            assert case["fell"] > 0.01, name
            assert case["difference"] < 1e-5, name
            assert case["topology"] == 0, name
            assert case["moved"] > 0, name


@needs_mpi
def test_sums_are_the_same_bits_everywhere(found: dict[int, dict[str, Any]]) -> None:
    assert found[2]["sums"]["wrong"] == found[4]["sums"]["wrong"] == []


@needs_mpi
def test_sums_that_travel_during_the_backward_pass_are_the_same_bits(
    found: dict[int, dict[str, Any]],
) -> None:
    output, upper, lower = 256, 480 + 480, 480 + 1536  # what is below them, and biases, travel at the end
    assert found[2]["overlapping"] == {"same": [True, True], "begun": [output, upper, lower]}


@needs_mpi
def test_ranks_fit_the_estimators_of_a_search(found: dict[int, dict[str, Any]]) -> None:
    if not found[2]["searched"]:
        pytest.skip("scikit-learn is not installed")
    scores, again = found[2]["searched"].values()
    assert [rank for _, rank in scores] == [1, 1]
    assert [value for value, _ in scores] == [value for value, _ in again]
    assert scores[0][0] != scores[1][0]


@needs_mpi
def test_only_weights_that_exist_travel_and_of_the_embedding_the_rows_of_the_batch(
    found: dict[int, dict[str, Any]],
) -> None:
    step = found[2]["compared"]["rigl lstm"]
    others = step["weights"] - step["embedded"]
    assert 4 * others < step["bytes"] < 4.1 * others + 0.9 * 4 * step["embedded"]


@needs_mpi
def test_a_rank_needs_one_more_buffer_of_gradients_at_most(found: dict[int, dict[str, Any]]) -> None:
    memory = found[2]["memory"]
    assert memory["ranks"] < memory["alone"] + 4.2 * memory["weights"]


@needs_mpi
def test_a_rank_that_has_drifted_is_named(found: dict[int, dict[str, Any]]) -> None:
    assert "rank 3 has drifted" in found[4]["drift"]
    assert "state momentum of lstm.0.weight_hh differs after step 50" in found[4]["drift"]


@needs_mpi
def test_a_run_on_ranks_goes_on_to_the_same_bits(found: dict[int, dict[str, Any]], folder: Path) -> None:
    assert found[2]["resumed"] == {"same": True, "records": len(records(folder / "whole"))}


@needs_mpi
def test_a_run_goes_on_with_another_number_of_ranks(
    found: dict[int, dict[str, Any]], folder: Path, run: Callable[..., Result]
) -> None:
    with pytest.warns(UserWarning, match="was trained on 2 ranks and goes on with 1 rank"):
        done = run("train", "lm", "--resume", folder / "stopped", "--epochs", 2, "--quiet")
    assert done.exit_code == 0, done.output
    assert (
        records(folder / "stopped", "eval")[-1]["step"] == 2 * records(folder / "whole", "eval")[-1]["step"]
    )


@needs_mpi
@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", ""),  # as where memory runs out
        ("raise ValueError('of a program')", "ValueError: of a program"),
    ],
)
def test_a_rank_that_ends_early_ends_the_job(end: str, said: str) -> None:
    program = f"""
import os, signal
from truesparse.training.communicator import find_communicator
ranks = find_communicator()
if ranks.rank == 1:
    {end}
ranks.sums(1)
"""
    began = time.perf_counter()
    code, _, errors = launched(2, "-c", program)
    assert code != 0
    assert said in errors
    assert time.perf_counter() - began < 30


@needs_mpi
def test_what_all_ranks_find_wrong_is_said_once(folder: Path) -> None:
    code, out, errors = launched(
        2, "-m", "truesparse", "train", "lm", "--data", folder / "text.txt", "--batch-size", 7
    )
    assert (code, out) == (2, "")
    assert errors.count("truesparse: ") == 1
    assert "truesparse: --batch-size is 7, which 2 ranks cannot share equally; use 6 or 8" in errors


@needs_mpi
@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("lm --data nowhere --batch-size 2", "rank 1: there is no file or folder nowhere"),
        ("lm --density 3", "rank 1: --density is 3.0; it must be"),  # before it has got as far as MPI
        ("tagger --data nowhere", "rank 1 has another command than rank 0: train tagger, not train lm"),
    ],
)
def test_what_one_rank_finds_wrong_ends_the_job(folder: Path, other: str, said: str) -> None:
    train = [sys.executable, "-m", "truesparse", "train"]
    flags = ["--batch-size", 2, "--quiet", "--data", folder / "text.txt", "--out", folder / "wrong"]
    code, out, errors = launched(1, *train[1:], "lm", *flags, ":", "-n", 1, *train, *other.split())
    assert (code, out) == (2, "")
    assert f"truesparse: {said}" in errors


@needs_mpi
def test_an_interrupted_job_saves_once(folder: Path) -> None:
    out = folder / "interrupted"
    flags = (
        f"--hidden-size 20 --batch-size 8 --bptt 10 --epochs 999 --eval-interval 20 --threads 64 --out {out}"
    )
    job = launch(2, "-m", "truesparse", "train", "lm", "--data", folder / "text.txt", *flags.split())
    while not (out / "checkpoint.safetensors").exists():
        assert job.poll() is None, job.communicate()[1]
        time.sleep(0.1)
    job.send_signal(signal.SIGINT)
    _, errors = job.communicate(timeout=60)
    assert len(re.findall("truesparse: stopped after step", errors)) == 1
    assert errors.count("stopping after this step") == 1
    assert len(re.findall("2 ranks of 64 threads are more than", errors)) == 1
    steps = [record["step"] for record in records(out)]
    assert steps == sorted(steps)


@needs_mpi
def test_ranks_share_the_runs_of_a_study(folder: Path) -> None:
    settings = "hidden_size = 8\nbatch_size = 4\nbptt = 10\nmax_steps = 12"
    (folder / "grid.toml").write_text(
        f'task = "lm"\n[settings]\ndata = "{folder / "text.txt"}"\n{settings}\n[grid]\nlr = [1, 2, 3, 4]\n'
    )
    bad = folder / "bad.toml"
    bad.write_text((folder / "grid.toml").read_text() + "output_group = [1, 7]\n")
    study = "-m", "truesparse", "study", folder / "grid.toml", "--out", folder / "study"
    code, out, errors = launched(2, *study, "--json")
    assert code == 0, errors
    assert [row["done"] for row in json.loads(out)["rows"]] == [1] * 4
    assert len((folder / "study" / "results.jsonl").read_text().splitlines()) == 4
    assert 1 <= errors.count(", validation perplexity") < 4  # of rank 0

    for tried in (8, 12):  # what failed is tried again, by one of the ranks
        code, _, errors = launched(2, "-m", "truesparse", "study", bad, "--out", folder / "bad", "--quiet")
        assert code == 1
        assert errors.count("4 of 8 runs failed; lr 1, output_group 7, seed 1: ") == 1
        assert len((folder / "bad" / "results.jsonl").read_text().splitlines()) == tried


@needs_mpi
def test_bench_scale(run: Callable[..., Result], tmp_path: Path) -> None:
    sizes = "--hidden-size 20 --vocab-size 50 --layers 1 --batch-size 4 --bptt 10 --repeats 1 --seconds 0.01"
    drawn = ["--plot", tmp_path / "out.png"] if installed("matplotlib") else []
    flags = [*sizes.split(), "--density", "0.5", "--json", tmp_path / "out.json", *drawn]
    done = run("bench", "scale", *flags)
    assert done.exit_code == 0, done.output
    one, two = json.loads((tmp_path / "out.json").read_text())
    assert (one["ranks"], one["efficiency"], one["bytes"]) == (1, 1, 0)
    assert two["ranks"] == 2
    assert two["efficiency"] == pytest.approx(one["ms"] / two["ms"])
    assert 0 < two["bytes"] <= two["weights"] == two["states"]
    assert min(two["delayed_ms"], two["blocking_ms"]) > two["wait_ms"] > 0.1
    assert two["begun"] == []  # so small a model has no matrix that is worth it
    assert one["modelled"]["1 GbE"]["in step"][0] < one["modelled"]["100 GbE"]["in step"][0] < 1
    assert list(one["modelled"]["1 GbE"]) == ["in step", "phases of 10 steps", "phases of 100 steps"]
    assert (
        one["modelled"]["1 GbE"]["phases of 10 steps"][0] < one["modelled"]["1 GbE"]["phases of 100 steps"][0]
    )
    assert "Modelled efficiency" in done.stdout
    assert not drawn or (tmp_path / "out.png").stat().st_size > 10_000


def test_a_network_takes_latency_and_bandwidth() -> None:
    network = Network(latency=0.001, bandwidth=1000.0)
    assert network.seconds(1, 500) == 0
    assert network.seconds(4, 500, messages=3) == pytest.approx(2 * 3 * 0.001 * 3 + 1.5 * 0.5)
    cost = Cost(compute=1.0, bytes=400, reductions=1, states=600, weights=1000)
    free = Network(0.0, 1000.0)
    assert cost.efficiency(free, 2, bf16=False) == pytest.approx(1 / (1 + 0.4 + 0.008))
    early = cost._replace(begun=[(0.3, 100), (0.1, 300)], reductions=3)  # from -0.3 to -0.2, -0.1 to 0.2
    assert early.exchange(free, 2) == pytest.approx(0.2)
    assert cost.exchange(free, 2) == pytest.approx(0.4)
    assert early.exchange(free, 2, rounded=0.5) == pytest.approx(0.05)
    assert early.faster(2).exchange(free, 2) == pytest.approx(0.25)  # from -0.15 to -0.05, and to 0.25
    assert cost.efficiency(free, 2, local_steps=10) == pytest.approx(1 / (1 + (500 + 600) / 1e4 + 0.008))


def test_mpi_without_mpi4py_says_what_to_install(
    run: Callable[..., Result], text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    done = run("train", "lm", "--data", text_file, "--mpi")
    assert done.exit_code == 1
    assert "run pip install 'truesparse[mpi]'" in done.stderr


class _Rank(Communicator):
    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


def test_ranks_share_a_last_batch_that_is_not_full() -> None:
    inputs = np.arange(12, dtype=np.int32).reshape(2, 6)
    targets = np.array([4, 5, 6, 7, -1, -1], np.int32)
    weights = np.array([1.0, 2, 3, 4, 0, 0])
    batch = Batch(inputs, targets, np.array([2, 2, 1, 1, 0, 0], np.int32), chosen=np.arange(4))
    cuts = [_Rank(rank, 3).cut(batch) for rank in range(3)]
    assert [mine.inputs.tolist() for mine, _ in cuts] == [
        [[0, 3], [6, 9]],
        [[1, 4], [7, 10]],
        [[2, 5], [8, 11]],
    ]
    assert [share for _, share in cuts] == [0.5, 0.25, 0.25]
    shares = [_Rank(rank, 3).cut(batch._replace(weights=weights))[1] for rank in range(3)]
    assert shares == [0.5, 0.2, 0.3]


def test_a_rank_without_a_target_learns_nothing_of_its_own() -> None:
    targets = np.array([[[np.nan, 1.0]], [[np.nan, np.nan]]], np.float32)
    batch = Batch(np.ones((2, 3, 2), np.float32), targets)
    mine, share = _Rank(0, 2).cut(batch)
    assert share == 0
    assert mine.targets[0, 0, 0] == 1
    assert _Rank(1, 2).cut(batch)[1] == 1


def test_ranks_with_other_data_are_refused() -> None:
    class Three(_Rank):
        def gather(self, value: Any) -> Any:
            return [value, value, ["1.0", 8]]

    mine = [("version", "1.0", "install the same"), ("checksum of the data", 7, "give all the same --data")]
    with pytest.raises(UsageError, match="rank 2 has another checksum of the data than rank 0: 8, not 7"):
        same_everywhere(Three(0, 3), mine)


def test_ranks_with_another_numba_are_refused() -> None:
    class Two(_Rank):
        def gather(self, value: Any) -> Any:
            return [value, [*value[:2], "0.1", *value[3:]]]

    assert list(versions())[2] == "numba"
    task: Any = SimpleNamespace(config=LanguageModelConfig(), crc32=7)
    with pytest.raises(UsageError, match=r"another version of numba than rank 0: 0\.1, not .*; install"):
        shared(task, Two(0, 2))


def test_ranks_whose_method_remembers_something_else_have_drifted() -> None:
    class Two(_Rank):
        def gather(self, value: Any) -> Any:
            return [value, [*value[:-1], value[-1] + 1]]

    every = Pattern(np.array([0, 1], np.int64), np.array([0], np.uint16), (1, 1))
    evolution: Any = SimpleNamespace(arrays=lambda: {"dense_momentum.w": np.ones(3, np.float32)})
    with pytest.raises(TruesparseError, match=r"the method's state dense_momentum\.w differs after step 8"):
        check_equal(Two(0, 2), Arena({"w": (every, 1)}, {}), 8, evolution)


def test_ranks_that_do_not_divide_the_batch_are_refused(command: None) -> None:
    _Rank(0, 4).check_batch_size(20)
    with pytest.raises(UsageError, match="--batch-size is 3, which 4 ranks cannot share equally; use 4"):
        _Rank(0, 4).check_batch_size(3)
