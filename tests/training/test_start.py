"""Runs that begin with the connections of another run, and what values they give them."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import StopAt, assert_same_end, records

import truesparse as ts
from truesparse.errors import TruesparseError, UsageError
from truesparse.model import Model, load_model
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.run import resume_run, train_model
from truesparse.tasks.sources import resolve
from truesparse.tasks.tagger.settings import TaggerConfig
from truesparse.training.build import build_model
from truesparse.training.config import Config
from truesparse.training.loop import TrainingStopped
from truesparse.training.state import make_generators

pytestmark = pytest.mark.usefixtures("command")


def begun(config: Config) -> Model:
    """The model that a run begins with."""
    task = config.filled().make_task()
    rng = make_generators(config.seed)["initial"]
    return build_model(task.config, task.chain, task.train, rng, task.reads_like)[0]


def ended(run: Path) -> Model:
    return load_model(run / "model.safetensors").model


def dense(model: Model) -> dict[str, np.ndarray]:
    """Each matrix as an array, NaN where there is no weight."""
    arrays = {}
    for name, matrix in model.matrices.items():
        csr = matrix.to_scipy()
        arrays[name] = np.full(csr.shape, np.nan, np.float32)
        rows, columns = np.repeat(np.arange(csr.shape[0]), np.diff(csr.indptr)), csr.indices
        arrays[name][rows, columns] = csr.data
    return arrays


def same_pattern(one: Model, other: Model) -> bool:
    mine, theirs = dense(one), dense(other)
    return all(np.array_equal(np.isnan(mine[name]), np.isnan(theirs[name])) for name in mine)


def from_run(config: Config, run: Path, values: str | None = None, **changes: Any) -> Config:
    return replace(
        config, density=None, method="static", start_topology=str(run), start_values=values, **changes
    )


def test_fresh_values_are_those_of_the_new_seed(config: LanguageModelConfig, tmp_path: Path) -> None:
    train_model(config, tmp_path / "run")
    first, model = begun(config), ended(tmp_path / "run")
    assert not same_pattern(first, model)
    fresh, default = (begun(from_run(config, tmp_path / "run", values)) for values in ("fresh", None))
    other = begun(from_run(config, tmp_path / "run", "fresh", seed=2))
    assert same_pattern(fresh, model)
    assert same_pattern(other, model)
    assert np.array_equal(fresh.arena.values, default.arena.values)
    assert not np.isin(other.arena.values[other.arena.values != 0], model.arena.values).any()
    assert not np.array_equal(fresh.arena.values, other.arena.values)
    matrix = fresh.matrices["lstm.0.weight_hh"]
    bound = 12**-0.5 / matrix.density**0.5
    assert 0.9 * bound < np.abs(matrix.data).max() <= bound


def test_last_values_are_those_of_the_model(config: LanguageModelConfig, tmp_path: Path) -> None:
    train_model(config, tmp_path / "run")
    model, last = ended(tmp_path / "run"), begun(from_run(config, tmp_path / "run", "last"))
    assert same_pattern(last, model)
    assert np.array_equal(last.arena.values, model.arena.values)
    file = begun(from_run(config, tmp_path / "run" / "model.safetensors", "last"))
    assert np.array_equal(file.arena.values, model.arena.values)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pattern": "unit", "output_group": 41, "update_interval": 25},
        {"method": "gmp", "update_interval": 10, "init_scale": 0.3},
        {"method": "granet", "update_interval": 10, "initial_density": 0.7},
        {"method": "small-dense", "update_interval": None},
        {"gates": "separate", "distribution": "erdos-renyi", "seed": 7, "cell": "rhn", "depth": 2},
    ],
)
def test_first_values_are_a_lottery_ticket(
    config: LanguageModelConfig, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = replace(config, **changes)
    train_model(config, tmp_path / "run")
    before, model = begun(config), ended(tmp_path / "run")
    own = replace(config, update_interval=None, initial_density=None, seed=5)
    ticket = begun(from_run(own, tmp_path / "run", "first", hidden_size=model.chain.units))
    assert same_pattern(ticket, model)
    old, new = dense(before), dense(ticket)
    kept = 0
    for name in old:
        both = ~np.isnan(old[name]) & ~np.isnan(new[name])
        assert np.array_equal(old[name][both], new[name][both])
        grown = np.isnan(old[name]) & ~np.isnan(new[name])
        assert not np.isin(new[name][grown], old[name]).any()
        kept += both.sum()
    assert kept > 0.3 * ticket.arena.nnz
    for name, bias in before.arena.biases.items():
        assert np.array_equal(ticket.arena.biases[name], bias)
    if changes.get("method") in ("gmp", "small-dense"):  # which grow nothing
        assert kept == ticket.arena.nnz
        assert not np.array_equal(ticket.arena.values, model.arena.values)


def test_a_ticket_of_a_ticket(config: LanguageModelConfig, tmp_path: Path) -> None:
    train_model(config, tmp_path / "run")
    once = replace(from_run(config, tmp_path / "run", "first"), seed=2)
    train_model(once, tmp_path / "once")
    twice = begun(replace(from_run(config, tmp_path / "once", "first"), seed=3))
    assert np.array_equal(twice.arena.values, begun(once).arena.values)


@pytest.mark.parametrize(
    "method", ["static", "st-rnn", "set", "selfish", "cht", "dsr", "deepr", "rigl", "snfs"]
)
def test_every_method_that_keeps_its_density(
    config: LanguageModelConfig, tmp_path: Path, method: str
) -> None:
    train_model(replace(config, max_steps=60), tmp_path / "run")
    nnz = ended(tmp_path / "run").arena.nnz
    short = {"max_steps": 20, **({} if method == "static" else {"update_interval": 5})}
    own = replace(from_run(config, tmp_path / "run", "last"), method=method, **short)
    results = train_model(own, tmp_path / "next")
    assert results["nnz"] == nnz
    same = same_pattern(ended(tmp_path / "next"), ended(tmp_path / "run"))
    assert same == (method == "static") or method in ("dsr", "deepr")  # which may have nothing to drop yet


def test_a_run_goes_on_to_the_same_bits_without_the_other_one(
    config: LanguageModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train_model(config, tmp_path / "run")
    own = replace(from_run(config, Path("run"), "first"), method="set", update_interval=7)
    train_model(own, tmp_path / "whole")
    stop = StopAt(33)
    with pytest.raises(TrainingStopped):
        train_model(own, tmp_path / "parts", stop, stop)
    monkeypatch.chdir("/")
    (tmp_path / "run").rename(tmp_path / "gone")
    resume_run(tmp_path / "parts", {})
    assert_same_end(tmp_path / "whole", tmp_path / "parts")
    saved = tomllib.loads((tmp_path / "parts" / "config.toml").read_text())
    assert saved["start_topology"] == str(tmp_path / "run")
    assert "density" not in saved
    assert records(tmp_path / "parts", "rewire")


def test_the_density_may_be_said_again(config: LanguageModelConfig, tmp_path: Path) -> None:
    train_model(replace(config, max_steps=5), tmp_path / "run")
    assert begun(replace(from_run(config, tmp_path / "run"), density=0.3)).density == pytest.approx(0.3, 0.01)
    message = r"--density asks for a density of 0.4, but .*model.safetensors, which --start-topology takes"
    with pytest.raises(UsageError, match=message):
        begun(replace(from_run(config, tmp_path / "run"), density=0.4))
    own = replace(from_run(config, tmp_path / "run"), er_epsilon=1.0, distribution="erdos-renyi")
    with pytest.raises(UsageError, match=r"--er-epsilon asks for a density of .*; leave --er-epsilon out"):
        begun(own)
    flags = {"start_topology": "run", "method": "static"}
    assert resolve({**flags, "preset": "ptb-large"}, environment={}).density is None
    file = tmp_path / "run" / "config.toml"
    told = resolve(flags, file, environment={})
    assert (told.density, told.hidden_size) == (None, 12)
    assert resolve({**flags, "density": 0.4}, file, environment={}).density == 0.4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 13}, r"embedding.weight is 41 x 12 there, 41 x 13 here; ask for the same layers"),
        ({"layers": 1}, r"lstm.1.weight_ih is 48 x 12 there, missing here"),
        ({"pattern": "unit"}, r"lstm.0.weight_ih is 48 x 12 there, 48 x 12 in groups of 4 rows here"),
        ({"cell": "gru"}, "gru.0.weight_ih is missing there, 36 x 12 here"),
        (
            {"level": "char"},
            "was made for another vocabulary or other labels than the data have; give --data",
        ),
    ],
)
def test_another_model_is_refused(
    config: LanguageModelConfig, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    train_model(replace(config, max_steps=5), tmp_path / "run")
    with pytest.raises(UsageError, match=message):
        begun(from_run(config, tmp_path / "run", **changes))
    assert begun(from_run(config, tmp_path / "run", dropout=0.5, bptt=5)).arena.nnz


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_values": "last"}, "--start-values needs --start-topology, a run or a model file"),
        ({"start_topology": "run", "start_values": "best"}, "it must be fresh, last or first"),
        (
            {"start_topology": "run", "method": "gmp"},
            "--start-topology does not go with --method gmp, which begins with connections of its own; use",
        ),
        ({"start_topology": "run", "method": "granet"}, "does not go with --method granet"),
        ({"start_topology": "run", "method": "snip"}, "does not go with --method snip"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LanguageModelConfig(**changes)


def test_first_values_that_nobody_knows(config: LanguageModelConfig, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file or folder nowhere"):
        begun(from_run(config, Path("nowhere")))
    train_model(replace(config, method="snip", max_steps=5), tmp_path / "snip")
    with pytest.raises(UsageError, match="of a run with --method snip, whose first values follow from its"):
        begun(from_run(config, tmp_path / "snip", "first"))
    saved = load_model(tmp_path / "snip" / "model.safetensors")
    saved.model.save(tmp_path / "bare.safetensors", vocabulary=saved.vocabulary)
    assert begun(from_run(config, tmp_path / "bare.safetensors", "last")).arena.nnz
    with pytest.raises(UsageError, match="does not say how its training began, so nobody knows its first"):
        begun(from_run(config, tmp_path / "bare.safetensors", "first"))
    saved.model.arena.values[0] = np.nan
    saved.model.save(tmp_path / "bad.safetensors", vocabulary=saved.vocabulary)
    with pytest.raises(TruesparseError, match="values that are not finite"):
        begun(from_run(config, tmp_path / "bad.safetensors", "last"))


@pytest.mark.parametrize("kind", [ClassifierConfig, TaggerConfig])
def test_other_tasks(kind: type[Config], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue("labelled_file" if kind is ClassifierConfig else "tagged_file")
    config = kind(data=str(data), hidden_size=16, density=0.3, epochs=2, batch_size=16)
    train_model(config, tmp_path / "run")
    own = from_run(config, tmp_path / "run", "first")
    results = train_model(own, tmp_path / "next")
    assert results["nnz"] == ended(tmp_path / "run").arena.nnz
    assert same_pattern(ended(tmp_path / "next"), ended(tmp_path / "run"))
    other = replace(own, vocabulary=12)
    with pytest.raises(UsageError, match="was made for another vocabulary"):
        begun(other)


def test_from_python() -> None:
    chain = ts.Chain(ts.Linear(8), ts.LSTM(12, pattern="unit"), ts.Pool(), ts.Softmax(3), features=4)
    model = chain.init(0.3, seed=1)
    same, other = chain.init(topology=model, seed=1), chain.init(topology=model, seed=2)
    assert same_pattern(same, model)
    assert same_pattern(other, model)
    assert same.density == model.density
    assert not np.array_equal(same.arena.values, other.arena.values)
    before = dense(model)
    ts.method("set").update(other.arena, ts.topology.Update(0.5, np.random.default_rng(1)))
    assert not same_pattern(other, model)
    assert all(np.array_equal(before[name], now, equal_nan=True) for name, now in dense(model).items())
    for bad in ({}, {"density": 0.3, "topology": model}):
        with pytest.raises(UsageError, match="either the density of the model or a topology"):
            chain.init(**bad)
    with pytest.raises(UsageError, match="the topology is no model like the one that was asked for: linear"):
        ts.Chain(ts.Linear(9), ts.LSTM(12), ts.Pool(), ts.Softmax(3), features=4).init(topology=model)
