"""What the records of a run say of its topology and threads, and that none of it is lost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_helpers import records

from truesparse.data import load_corpus, unigram_perplexity
from truesparse.kernels.threads import thread_count
from truesparse.tasks.lm import task as language_modeling
from truesparse.tasks.run import train_model
from truesparse.training.config import Config
from truesparse.training.evolution import Evolution


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Weights dropped and grown by each update that is made."""
    made = []
    update = Evolution.update

    def counted(self: Evolution, *given: Any) -> Any:
        changed = update(self, *given)
        made.append((sum(c.dropped for c in changed.values()), sum(c.grown for c in changed.values())))
        return changed

    monkeypatch.setattr(Evolution, "update", counted)
    return made


@pytest.mark.parametrize("method", ["st-rnn", "selfish", "set", "dsr", "snfs"])
@pytest.mark.parametrize("group", [4, 5])
@pytest.mark.parametrize("density", [0.3, 0.95])
def test_only_a_method_that_shrinks_prunes(
    groups: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    group: int,
    density: float,
) -> None:
    """The losses rise: the first model stays the best, and the rate falls at every evaluation."""
    losses = iter(range(1, 99))
    evaluate: Callable[..., Any] = language_modeling.evaluate
    monkeypatch.setattr(
        language_modeling, "evaluate", lambda *given: evaluate(*given)._replace(loss=float(next(losses)))
    )
    numbers = []
    update = Evolution.update

    def counted(self: Evolution, *given: Any) -> Any:
        changed = update(self, *given)
        numbers.append(self.hooks.arena.nnz)
        return changed

    monkeypatch.setattr(Evolution, "update", counted)
    config = replace(groups, method=method, pattern="unit", output_group=group, density=density)
    run = tmp_path / "run"
    results = train_model(
        replace(config, update_interval=3, drop_fraction=0.4, eval_interval=10, max_steps=60), run
    )
    whole = results["nnz"]  # of the model that was evaluated first, before or after some updates
    assert max(numbers) - min(numbers) < group
    assert abs(whole - numbers[0]) < group
    if method not in ("dsr", "snfs"):
        assert set(numbers) == {whole}
    evaluations = records(run, "eval")
    assert [record["best"] for record in evaluations] == [True] + [False] * 5
    assert [record["lr"] for record in evaluations] == [1.0, 1.0, 0.5, 0.25, 0.125, 0.0625]


@pytest.mark.parametrize(
    ("interval", "steps"),
    [
        (5, [7, 14, 21, 28, 35, 42, 49, 50, 56, 62]),  # with the training loss, an epoch's end and the run's
        (7, [7, 14, 21, 28, 35, 42, 49, 56]),
        (20, [20, 40, 60]),  # each by itself
    ],
)
@pytest.mark.parametrize("method", ["set", "rigl"])
def test_every_change_of_the_topology_is_in_a_record(
    config: Config,
    tmp_path: Path,
    changes: list[tuple[int, int]],
    method: str,
    interval: int,
    steps: list[int],
) -> None:
    config = replace(config, method=method, update_interval=interval, update_end=1.0, max_steps=62)
    train_model(config, tmp_path / "run")
    updates = records(tmp_path / "run", "rewire")
    dropped, grown = (sum(counts) for counts in zip(*changes, strict=True))
    assert sum(sum(record["dropped"].values()) for record in updates) == dropped
    assert sum(sum(record["replaced"].values()) for record in updates) == grown
    if method == "set":
        assert [record["step"] for record in updates] == steps
        assert {record["drop_fraction"] for record in updates} == {0.3}
    else:  # in the end there is nothing to drop
        assert [record["step"] for record in updates] == steps[: len(updates)]
        ends = [step // interval * interval for step in steps[: len(updates)]]
        expected = [0.15 * (1 + math.cos(math.pi * step / 62)) for step in ends]
        assert [record["drop_fraction"] for record in updates] == pytest.approx(expected)


def test_the_unigram_perplexity_is_that_of_the_text_beside_it(config: Config, tmp_path: Path) -> None:
    results = train_model(replace(config, max_steps=2), tmp_path / "run")
    corpus = load_corpus(config.data)
    valid, test = (
        unigram_perplexity(corpus.train, text, len(corpus.vocabulary)) for text in (corpus.valid, corpus.test)
    )
    assert valid != test
    assert results["unigram_perplexity"] == test
    assert results["valid_unigram_perplexity"] == valid


def test_records_say_how_many_threads_there_were(config: Config, tmp_path: Path) -> None:
    results = train_model(replace(config, max_steps=20, threads=1), tmp_path / "one")
    assert results["threads"] == 1
    assert {record["threads"] for record in records(tmp_path / "one", "train")} == {1}
    results = train_model(replace(config, max_steps=20), tmp_path / "all")
    assert results["threads"] == thread_count() == records(tmp_path / "all", "train")[-1]["threads"]
