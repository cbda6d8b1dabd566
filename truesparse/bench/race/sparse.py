"""The sparse side of a race: truesparse itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from truesparse.bench.ours import most_used
from truesparse.bench.race.lane import Measured
from truesparse.kernels.threads import ThreadTrial, thread_count
from truesparse.model.loading import load_model
from truesparse.model.saving import save_model
from truesparse.modelfile import MODEL
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.lm.task import LanguageModeling
from truesparse.topology import get_method
from truesparse.training.build import build_model, build_training, wanted_density
from truesparse.training.describe import dense_flops_per_token, flops_per_token
from truesparse.training.state import make_generators

_MORE = 1.01  # times the weights asked for, above which a model was not pruned to its density


class SparseRacer:
    """Training as the command line has it; see `truesparse.bench.race.lane.Racer`.

    Parameters
    ----------
    config : LanguageModelConfig
        Filled in.
    precision : str
        That of the kernels, "float32".
    """

    def __init__(self, config: LanguageModelConfig, precision: str) -> None:
        assert precision == "float32"
        self._config = config
        self._task = LanguageModeling(config)
        self._method = get_method(config.method)
        self.steps_per_epoch = len(self._task.train)
        self._dense_flops = dense_flops_per_token(self._task.chain)
        self._begin()

    def _begin(self) -> None:
        """A model before its first step."""
        generators = make_generators(self._config.seed)
        chain = self._task.chain
        model, self._flops = build_model(self._config, chain, self._task.train, generators["initial"])
        self._training = build_training(
            self._config, model, generators, chain, self.steps_per_epoch, self.steps_per_epoch
        )
        self._training.workspace(self._task.longest, self._config.batch_size)
        self._trial = ThreadTrial()
        self._threads: Counter[int] = Counter()
        self._kept: int | None = None  # weights of the best model
        self._tokens = 0

    def warm_up(self) -> None:
        """With an update of the topology."""
        evolution = self._training.evolution
        assert evolution is not None
        interval = evolution.interval
        self._training.replan(interval - 1, 10 * interval, self.steps_per_epoch)
        self.step(1.0)
        self._training.evolve()
        self._task.evaluate(self._training.model, "valid", self._training.workspace)
        self._begin()

    def plan(self, steps: int) -> None:
        """Over which the drop fraction falls."""
        self._training.replan(self._training.steps, steps, self.steps_per_epoch)

    def step(self, rate: float) -> tuple[float, int]:
        """Also changes the topology when that is due."""
        training = self._training
        batch = self._task.train.batch(*divmod(training.steps, self.steps_per_epoch))
        with self._trial:
            self._threads[thread_count()] += 1
            done = training.step(batch._replace(rate=rate * batch.rate))
            assert training.evolution is not None
            if training.evolution.replaces(training.steps):  # before an evaluation uses the buffers
                training.evolve()
            self._trial.amount = batch.tokens
        self._tokens += batch.tokens
        per_token = 3 * flops_per_token(training.model) + done.dense * self._dense_flops
        self._flops += batch.tokens * per_token
        return done.loss, batch.tokens

    def evaluate(self, best: float, model: Path) -> Measured:
        """Of a method that prunes, a model of fewer weights takes the place of the best before."""
        training = self._training
        with training.optimizer.averaged():
            loss = self._task.evaluate(training.model, "valid", training.workspace)["loss"]
            kept = training.is_best(loss < best, self._kept)
            if kept:
                save_model(model, training.model, history=asdict(self._config), **self._task.reading)
                self._kept = training.model.arena.nnz
        training.optimizer.evaluated(loss)
        return Measured(loss, kept)

    def test(self, folder: Path) -> float:
        """Of what `evaluate` has written."""
        model = load_model(folder / MODEL).model
        loss: float = self._task.evaluate(model, "test", model.workspace)["loss"]
        return loss

    def facts(self) -> dict[str, Any]:
        """Also `failed`, a sentence, if the model has not come down to its density."""
        positions, nnz = self._task.chain.dense_parameters, self._training.model.arena.nnz
        wanted = wanted_density(self._config, self._task.chain)
        failed = {}
        if self._method.shrinks and nnz > _MORE * wanted * positions:
            failed["failed"] = (
                f"--method {self._config.method} has not come down to its density within the budget, but to"
                f" {nnz / positions:.3g} instead of {wanted:.3g}; give it more minutes, or a lower"
                " --update-interval"
            )
        return {
            **failed,
            "threads": most_used(self._threads),
            "nnz": nnz,
            "dense_parameters": positions,
            "relative_flops": self._flops / (3 * self._dense_flops * self._tokens),
        }
