"""A reporter gets the events of training in memory, an epoch at a time."""

from __future__ import annotations

import time
from typing import Any

from truesparse.kernels.threads import thread_count
from truesparse.training.reporter import Progress, Reporter, RunInfo
from truesparse.training.training import StepMeasures, Training


class Teller:
    """Tells a reporter what `truesparse.training.loop.Trainer` tells it of a run, as far as there is such.

    Parameters
    ----------
    reporter : Reporter
    training : Training
    dense_parameters : int
        Positions of the model that was asked for.
    steps_per_epoch, epochs : int
        As planned.
    """

    def __init__(
        self, reporter: Reporter, training: Training, dense_parameters: int, steps_per_epoch: int, epochs: int
    ) -> None:
        self._reporter = reporter
        self._training = training
        self._steps_per_epoch = steps_per_epoch
        self._began = time.perf_counter()
        self._done = 0
        arena = training.model.arena
        reporter.start(
            RunInfo(
                path=None,
                data="",
                step=0,
                total_steps=epochs * steps_per_epoch,
                steps_per_epoch=steps_per_epoch,
                nnz=arena.nnz,
                dense_parameters=dense_parameters,
                threads=thread_count(),
                gates=training.model.chain.gates,
            )
        )

    def step(self, done: StepMeasures) -> None:
        """A step is made."""
        self._done += 1
        self._reporter.step(Progress(self._done, (self._done - 1) // self._steps_per_epoch + 1, done.loss))

    def trained(self, loss: float) -> None:
        """The steps of an epoch are made, with a mean loss."""
        self._reporter.train(self._record("train", loss=loss))

    def measured(self, best: bool, **measures: float) -> None:
        """The model was measured, and may be the best so far."""
        self._reporter.eval(self._record("eval", **measures, best=best))

    def epoch(self) -> None:
        """An epoch is over."""
        self._reporter.epoch(self._record("epoch", nnz=self._training.model.arena.nnz))

    def end(self, **results: Any) -> None:
        """Training has ended."""
        self._reporter.end({"kind": "end", "steps": self._done, **results, "seconds": self._seconds()})

    def _record(self, kind: str, **values: Any) -> dict[str, Any]:
        return {
            "kind": kind,
            "step": self._done,
            "epoch": self._done / self._steps_per_epoch,
            **values,
            "lr": self._training.optimizer.lr,
            "density": {name: m.density for name, m in self._training.model.arena.matrices.items()},
            "seconds": self._seconds(),
        }

    def _seconds(self) -> float:
        return time.perf_counter() - self._began
