"""Races: what is trained, for how long, and on both sides alike."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from race_helpers import SPARSE, Command, Write

from truesparse.bench.race import lane
from truesparse.bench.race.lane import Budget, Measured, run_lane
from truesparse.bench.race.plan import Race
from truesparse.errors import UsageError
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.training.rundir import read_metrics
from truesparse.training.training import Diverged

STUDIES = Path(__file__).parents[2] / "benchmarks" / "studies"


# What a race asks for


def test_turns(write: Write) -> None:
    race = Race(write(SPARSE + "[dense.grid]\nlayers = [1, 2]", "minutes = 3\nseeds = 2"))
    turns = [(entrant.name, chosen.name) for entrant, chosen in race.turns()]
    assert turns[:6] == [
        ("sparse", "lr 1, seed 1"),
        ("dense", "layers 1, seed 1"),
        ("dense bf16", "layers 1, seed 1"),
        ("sparse", "lr 4, seed 1"),
        ("dense", "layers 2, seed 1"),
        ("dense bf16", "layers 2, seed 1"),
    ]
    assert len(turns) == 12
    folders = {entrant.folder(chosen) for entrant, chosen in race.turns()}
    assert len(folders) == 12
    assert race.budget.seconds == 180
    for entrant, chosen in race.turns():
        assert chosen.config.density == (0.3 if entrant.side == "sparse" else 1.0)


def test_bfloat16_is_there_where_the_processor_has_it(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("truesparse.bench.race.plan.has_bfloat16", lambda: False)
    assert [entrant.precision for entrant in Race(write()).entrants] == ["float32", "float32"]
    given = 'precision = ["bfloat16"]'
    assert [entrant.precision for entrant in Race(write(f"[dense]\n{given}")).entrants] == [
        "float32",
        "bfloat16",
    ]


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize(
    ("sides", "top", "settings", "sentence"),
    [
        ("[sparse.grid]\nlr = [-1]", "", "", "the sparse side: lr -1: --lr is -1.0; it must be above 0"),
        ("[dense.grid]\nlr = 1", "", "", r"the dense side: lr in \[grid\] of .* must be a list of values"),
        ("[spars.grid]\nlr = [1]", "", "", "there is no key 'spars'; did you mean sparse?"),
        ("[sparse.grids]\nlr = [1]", "", "", "there is no key 'grids'; did you mean grid?"),
        ("[sparse]\nsettings = 1", "", "", "sparse.settings in .* is 1; it must be a table"),
        ("", "sparse = 1", "", r"sparse in .* is 1; it must be a table \[sparse\]"),
        ("", "minutes = 0", "", "minutes is 0.0; it must be above 0"),
        ("", "hold = 1.0", "", "hold is 1.0; it must be"),
        ("", "", "epochs = 3", "has epochs, which the budget decides; leave it out"),
        ("[sparse.grid]\nlr_decay = [2]", "", "", "has lr_decay, which the budget decides"),
        ("[sparse.settings]\nlr_schedule = 'cosine'", "", "", "has lr_schedule, which the budget decides"),
        ("[[dense.cases]]\nname = 'a'\npatience = 1", "", "", "has patience, which the budget decides"),
        ("", "", "max_minutes = 1", "has max_minutes, which the budget decides"),
        ("[dense.settings]\nmethod = 'st-rnn'", "", "", "has a method for the dense side, but the dense"),
        ("[dense.grid]\nmethod = ['st-rnn']", "", "", "has a method for the dense side, but the dense"),
        ("", "", "method = 'gmp'", r"has a method for both sides, .* write it under \[sparse.settings\]"),
        ("[sparse.settings]\nmethod = 'dense'", "", "", "the sparse side: method is 'dense'; choose"),
        (
            "[sparse.settings]\nbptt = 5",
            "",
            "",
            r"has bptt for the sparse side, .* write it under \[settings\]",
        ),
        ("[[dense.cases]]\nname = 'a'\nlevel = 'char'", "", "", "has level for the dense side"),
        ("[dense.settings]\ntied = true", "", "", "does not have --tied True; write it under"),
        ("", "", "cell = 'gru'", "does not have --cell gru; write it under"),
        ("[dense.settings]\ndropout_weights = 0.5", "", "", "does not have --dropout-weights 0.5"),
        ("[dense.settings]\noptimizer = 'nt-asgd'", "", "", "optimizer is 'nt-asgd'; it must be sgd or adam"),
        ("[dense.settings]\ndensity = 0.5", "", "", "the dense side: --density 0.5 does not go with"),
        ("[dense]\nprecision = ['float16']", "", "", "must be a list of float32 or bfloat16"),
    ],
)
def test_what_cannot_be_raced_is_told_before_the_first_candidate(
    race: Command, write: Write, tmp_path: Path, sides: str, top: str, settings: str, sentence: str
) -> None:
    path = write(sides, top, settings)
    with pytest.raises(UsageError, match=sentence):
        Race(path)
    assert race(path, "--out", "a").exit_code == 2
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("minutes", [5, 15, 45])
def test_the_races_of_the_project_can_be_run(minutes: int) -> None:
    race = Race(STUDIES / f"race-ptb-{minutes}.toml", "texts")
    assert race.budget.minutes == minutes
    for entrant in race.entrants:
        configs = [run.config for run in entrant.study.runs]
        assert len(configs) == 4
        if entrant.side == "dense":
            assert {config.lr for config in configs} == {2, 4}
            assert {config.token_scale for config in configs} == {1, 0.1}
            assert len({config.hidden_size for config in configs}) == {5: 2, 15: 3, 45: 2}[minutes]
        else:
            assert {config.output_group for config in configs} == {4}
            assert {config.method for config in configs} == {"st-rnn", "granet"}


def test_the_race_without_a_file() -> None:
    """Each side has the rates and the scale of tokens that suit it; all else is the same."""
    sparse, dense, *_ = (entrant.study.runs for entrant in Race(None, "texts").entrants)
    assert [(of.config.hidden_size, of.config.lr) for of in sparse] == [(200, 2.0), (320, 2.0)]
    sizes = [(100, 2.0), (100, 4.0), (200, 2.0), (200, 4.0)]
    assert [(of.config.hidden_size, of.config.lr) for of in dense] == sizes
    assert {(of.config.token_scale, of.config.output_group) for of in sparse} == {(0.1, 4)}
    assert {of.config.token_scale for of in dense} == {1.0}
    assert {of.config.dropout_output for of in [*sparse, *dense]} == {0.1}


def test_the_project_has_no_other_races() -> None:
    assert len(list(STUDIES.glob("r*.toml"))) == 3


# How long a candidate trains


def test_the_learning_rate_falls_with_the_budget() -> None:
    budget = Budget(minutes=1, hold=0.5, last_rate=0.01)
    rates = [budget.rate(used) for used in (0, 30, 45, 60, 90)]
    assert rates == pytest.approx([1, 1, 0.1, 0.01, 0.01])


class Clockwork:
    """A racer for which time passes only as it says: a second a step, and a hundred for all else."""

    steps_per_epoch = 10

    def __init__(self, monkeypatch: pytest.MonkeyPatch, losses: dict[int, float] | None = None) -> None:
        self.now = 0.0
        self.steps = 0
        self.losses = losses or {}
        self.rates: list[float] = []
        self.plans: list[int] = []
        monkeypatch.setattr(lane, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def warm_up(self) -> None:
        self.now += 100

    def plan(self, steps: int) -> None:
        self.plans.append(steps)

    def step(self, rate: float) -> tuple[float, int]:
        self.now += 1
        self.steps += 1
        self.rates.append(rate)
        return self.losses.get(self.steps, 2.0), 7

    def evaluate(self, best: float, model: Path) -> Measured:
        self.now += 100
        loss = abs(self.steps - 45) / 10
        return Measured(loss, loss < best)

    def test(self, folder: Path) -> float:
        raise AssertionError

    def facts(self) -> dict[str, Any]:
        return {"nnz": 5}


def test_only_steps_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    racer = Clockwork(monkeypatch)
    came_to = run_lane(racer, Budget(minutes=1, evaluations=4, hold=0.5, last_rate=0.01), tmp_path)
    assert came_to == {
        "valid": {"perplexity": 1.0, "loss": 0.0},
        "steps": 60,
        "epochs": 6.0,
        "seconds": 60.0,
        "tokens_per_second": 7.0,
        "nnz": 5,
    }
    assert racer.rates[30:] == pytest.approx([0.01 ** (k / 30) for k in range(30)])
    assert set(racer.plans) == {60}
    assert len(racer.plans) == 29  # not in the second half
    records = read_metrics(tmp_path)
    assert [record["step"] for record in records] == [15, 30, 45, 60]
    assert [record["seconds"] for record in records] == [15, 30, 45, 60]
    assert [record["best"] for record in records] == [True, True, True, False]
    assert records[0]["perplexity"] == pytest.approx(math.exp(3))


def test_a_candidate_that_diverges(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    racer = Clockwork(monkeypatch, {7: math.nan})
    with pytest.raises(Diverged, match="the loss is nan at step 7"):
        run_lane(racer, Budget(minutes=1), tmp_path)


# Both sides


def config(text_file: Path, **given: Any) -> LanguageModelConfig:
    sizes = {"hidden_size": 8, "layers": 2, "embedding_size": 6, "batch_size": 4, "bptt": 10}
    return LanguageModelConfig(**{"data": str(text_file), "method": "dense", **sizes, **given}).filled()


@pytest.mark.parametrize(
    "given",
    [
        {"lr": 2.0, "clip": 0.05, "init_scale": 0.3},
        {"lr": 2.0, "init_scale": 0.3, "token_scale": 0.1},
        {"lr": 0.5, "momentum": 0.0, "weight_decay": 0.01},
        {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.01},
        {"lr": 1.0, "random_windows": True},
        {"lr": 1.0, "init_scale": 0.3, "last_hidden_size": 5},
    ],
    ids=str,
)
def test_both_sides_learn_the_same(text_file: Path, tmp_path: Path, given: dict[str, Any]) -> None:
    """A dense model of truesparse's and PyTorch's: the same losses, also of validation and test text."""
    pytest.importorskip("torch")
    from truesparse.bench.race.dense import DenseRacer
    from truesparse.bench.race.sparse import SparseRacer

    told = config(text_file, **given)
    racers = SparseRacer(told, "float32"), DenseRacer(told, "float32")
    losses = []
    for number, racer in enumerate(racers):
        racer.warm_up()
        folder = tmp_path / str(number)
        folder.mkdir()
        steps = racer.steps_per_epoch + 5  # the state begins with zeros once more
        own = [racer.step(1.0 if k < steps - 3 else 0.3)[0] for k in range(steps)]
        valid, kept = racer.evaluate(math.inf, folder / "model.safetensors")
        assert kept
        racer.step(5.0)
        assert racer.evaluate(0.0, folder / "model.safetensors").kept is False
        losses.append([*own, valid, type(racer)(told, "float32").test(folder)])
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-4)
    untrained = SparseRacer(told, "float32").evaluate(math.inf, tmp_path / "model").loss
    assert abs(losses[0][-2] - untrained) > 0.01
    facts = [racer.facts() for racer in racers]
    assert facts[0]["nnz"] == facts[1]["nnz"] == facts[0]["dense_parameters"]
    assert facts[0]["relative_flops"] == pytest.approx(1.0)


@pytest.mark.parametrize("slow", [1, 2])
def test_pytorch_uses_the_faster_number_of_threads(
    text_file: Path, monkeypatch: pytest.MonkeyPatch, slow: int
) -> None:
    torch = pytest.importorskip("torch")
    from truesparse.bench import masked_torch
    from truesparse.bench.race import dense

    now, reads = 0.0, 0

    def clock() -> float:
        nonlocal now, reads
        now += 10 if torch.get_num_threads() == slow else 1
        now += 0.5 if torch.backends.mkldnn.enabled == (slow == 2) else 0
        reads += 1
        return now + (100 if reads in (2, 4, 6, 8)[slow - 1 :: 2] else 0)  # a busy moment, once for some

    monkeypatch.setattr(masked_torch, "time", SimpleNamespace(perf_counter=clock))
    before = torch.get_num_threads(), torch.backends.mkldnn.enabled
    try:
        torch.set_num_threads(2)
        racer = dense.DenseRacer(config(text_file, lr=1.0), "float32")
        racer.warm_up()
        facts = racer.facts()
        assert (facts["threads"], facts["onednn"]) == (3 - slow, slow == 1)
        assert (torch.get_num_threads(), torch.backends.mkldnn.enabled) == (3 - slow, slow == 1)
    finally:
        torch.set_num_threads(before[0])
        torch.backends.mkldnn.enabled = before[1]


def test_bfloat16_computes_nearly_the_same(text_file: Path) -> None:
    pytest.importorskip("torch")
    from truesparse.bench.race.dense import DenseRacer

    told = config(text_file, lr=1.0, init_scale=0.3)
    exact, rough = (DenseRacer(told, precision) for precision in ("float32", "bfloat16"))
    exact.warm_up()
    rough.warm_up()  # which finds out whether oneDNN can do this
    losses = np.array([[racer.step(1.0)[0] for racer in (exact, rough)] for _ in range(20)])
    np.testing.assert_allclose(losses[:, 1], losses[:, 0], rtol=0.02)
    assert not np.allclose(losses[:, 1], losses[:, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("last", "expected"),
    [(None, [(6, 0.25, True), (8, 0.5, True)]), (5, [(6, 0.25, True), (8, 0.25, True), (5, 0.5, True)])],
)
def test_dropout_of_the_dense_side(
    text_file: Path, monkeypatch: pytest.MonkeyPatch, last: int | None, expected: list[Any]
) -> None:
    """Before each layer and before the output layer, in training only."""
    torch = pytest.importorskip("torch")
    from truesparse.bench.race.dense import DenseRacer

    told = config(text_file, dropout=0.25, dropout_output=0.5, last_hidden_size=last)
    racer = DenseRacer(told, "float32")
    calls = []
    drop = torch.nn.functional.dropout

    def noted(x: Any, rate: float, training: bool) -> Any:
        calls.append((x.shape[-1], rate, training))
        return drop(x, rate, training)

    monkeypatch.setattr(torch.nn.functional, "dropout", noted)
    racer.step(1.0)
    assert calls == expected  # nn.LSTM has the dropout between layers of one width
    lstm = racer._model.lstm
    assert (lstm.dropout, lstm.training) == (0.25, True)
    first = racer.evaluate(math.inf, text_file.parent / "model").loss
    assert not lstm.training
    assert racer.evaluate(0.0, text_file.parent / "model").loss == first
    assert not any(training for *_, training in calls[len(expected) :])


def test_the_sparse_side_follows_its_plan(text_file: Path) -> None:
    from truesparse.bench.race.sparse import SparseRacer

    told = config(text_file, method="gmp", density=0.2, update_interval=5, lr=1.0)
    racer = SparseRacer(told, "float32")
    first = racer._training.model.arena.values.copy()
    racer.warm_up()
    np.testing.assert_array_equal(racer._training.model.arena.values, first)
    racer.plan(40)
    for _ in range(40):
        racer.step(1.0)
    facts = racer.facts()
    assert facts["nnz"] == pytest.approx(0.2 * facts["dense_parameters"], rel=0.01)
    assert 0.2 < facts["relative_flops"] < 1
    assert "failed" not in facts
    racer = SparseRacer(told, "float32")
    racer.plan(4000)
    racer.step(1.0)
    facts = racer.facts()
    assert facts["nnz"] == facts["dense_parameters"]
    assert facts["failed"].startswith(
        "--method gmp has not come down to its density within the budget, but to 1 instead of 0.2; give it"
    )
