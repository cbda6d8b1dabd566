"""The process of one contestant: it builds what it is told to and runs it when it is its turn.

Reads one JSON object a line from standard input and answers with one. Every contestant has a process of its
own, so that the threads of no library spin beside those of another, and so that its memory can be measured.
When standard input ends, the process that asks has ended, however it did: then this one ends at once, in the
middle of its work, and so do all that it has started.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from truesparse.bench.memory import peak_bytes, reset_peak, resident_bytes
from truesparse.bench.timing import run_turn
from truesparse.errors import TruesparseError, flags_named

# Module and class of each side of each kind of comparison; what follows a hyphen in the name of a side is an
# option of the class.
MODELS = {
    "step": {
        "ours": ("ours", "SparseTraining"),
        "torch": ("masked_torch", "TorchTraining"),
        "numpy": ("masked_numpy", "NumpyTraining"),
    },
    "rows": {
        "ours": ("ours", "SparseTraining"),
        "torch": ("masked_rows", "MaskedRows"),
    },
    "epoch": {
        "ours": ("text_epochs", "SparseEpochs"),
        "torch": ("masked_epochs", "MaskedEpochs"),
        "keras": ("keras_epochs", "KerasEpochs"),
    },
    "race": {
        "ours": ("race.sparse", "SparseRacer"),
        "torch": ("race.dense", "DenseRacer"),
    },
    "inference": {
        "ours": ("ours", "SparsePrediction"),
        "torch": ("masked_torch", "TorchPrediction"),
        "numpy": ("masked_numpy", "NumpyPrediction"),
        "runtime": ("deployed", "RuntimePrediction"),
        "c": ("deployed", "CPrediction"),
    },
}


class Worker:
    """What a contestant can be asked for: the methods without an underscore take and return JSON values."""

    def __init__(self) -> None:
        self._parts: dict[str, Callable[[], Any]] = {}
        self._facts: Callable[[], dict[str, Any]] = dict
        self._base = self._built = 0
        self._model: Any = None

    def model(self, kind: str, side: str, task: dict[str, Any]) -> dict[str, Any]:
        """Build a model and run it once.

        Memory counts from before, when a tiny model with the same window has run: libraries are loaded and
        kernels compiled then. What turning sparse weights into the dense ones of a masked model takes does
        not count, nor what compiling takes if it happens later.
        """
        from truesparse.bench.rows import Rows
        from truesparse.bench.workload import Workload

        self._model, self._parts, self._facts = None, {}, dict  # one built before makes room
        make, sizes = _class(kind, side), (Rows if kind == "rows" else Workload)(**task)
        if "dense" in side.split("-"):
            sizes = replace(sizes, masked=False)
        if side.split("-")[0] == "ours":
            from truesparse.kernels.threads import set_threads

            set_threads(0)  # the model before may have chosen one
        tiny = make(sizes.tiny)
        tiny.step()
        del tiny
        gc.collect()
        self._base = resident_bytes()
        reset_peak()
        self._model = model = make(sizes)
        self._built = peak_bytes() if side == "ours" else 0
        first = model.step()
        if hasattr(model, "tune"):
            model.tune()
        gc.collect()
        reset_peak()
        self._parts, self._facts = {"step": model.step}, model.facts
        return {"loss": first} if isinstance(first, float) else {}

    def epochs(self, side: str, config: dict[str, Any]) -> dict[str, Any]:
        """Read texts and build a model of them; return its loss before training."""
        from truesparse.tasks.classifier.settings import ClassifierConfig

        self._model = model = _class("epoch", side)(ClassifierConfig(**config))
        first = model.loss()
        model.tune()
        self._parts, self._facts = {"step": model.step}, model.facts
        return {"loss": first}

    def race(
        self, side: str, config: dict[str, Any], precision: str, budget: dict[str, Any], folder: str
    ) -> dict[str, Any]:
        """Train a language model for a while; return what it came to, or how it diverged."""
        from truesparse.bench.race.lane import Budget, run_lane
        from truesparse.training.training import Diverged

        try:
            racer = self._racer(side, config, precision)
            return run_lane(racer, Budget(**budget), Path(folder))
        except Diverged as error:
            return {"diverged": str(error)}

    def race_test(self, side: str, config: dict[str, Any], precision: str, folder: str) -> dict[str, Any]:
        """Measure the best model of a lane on the test text."""
        return {"loss": self._racer(side, config, precision).test(Path(folder))}

    def _racer(self, side: str, config: dict[str, Any], precision: str) -> Any:
        from truesparse.tasks.lm.settings import LanguageModelConfig

        return _class("race", side)(LanguageModelConfig(**config), precision)

    def product(self, side: str, case: dict[str, Any]) -> dict[str, Any]:
        """Make matrices and a library's products of them; return the names of those it has, and tiles."""
        from truesparse.bench.peers import make_products
        from truesparse.bench.products import Case

        self._parts, tiles = make_products(side, Case(**case))
        return {"parts": list(self._parts), "tiles": tiles}

    def roofs(self, seconds: float) -> dict[str, Any]:
        """Measure the machine's roofs."""
        from truesparse.bench.roofs import measure_roofs

        return measure_roofs(seconds)

    def turn(self, part: str, seconds: float) -> dict[str, Any]:
        """Run one part for a while; return the seconds a call takes.

        What a side chose in a moment in which the machine was busy it may choose again for its next turn:
        after this one, so that no side begins a turn with warmer caches than another.
        """
        answer = {"seconds": run_turn(self._parts[part], seconds)}
        if hasattr(self._model, "tune_again"):
            self._model.tune_again()
        return answer

    def finish(self) -> dict[str, Any]:
        """Return the peak of memory since the model began to be built, in bytes, and facts."""
        return {"peak_bytes": max(0, self._built - self._base, peak_bytes() - self._base), **self._facts()}


def _class(kind: str, side: str) -> Any:
    side, *options = side.split("-")
    module, name = MODELS[kind][side]
    found = getattr(importlib.import_module(f"truesparse.bench.{module}"), name)
    return partial(found, options=options) if side in ("ours", "torch") and options else found


@flags_named()
def main() -> None:
    """Answer until there are no more questions."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    questions: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(questions,), daemon=True).start()
    worker = Worker()
    while True:
        question = json.loads(questions.get())
        try:
            answer = getattr(worker, question.pop("ask"))(**question)
        except TruesparseError as error:
            answer = {"error": str(error)}
        except MemoryError:
            answer = {"error": "not enough memory"}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": _sentence(error)}
        print(json.dumps(answer), file=answers, flush=True)


def _sentence(error: Exception) -> str:
    """What went wrong: a compiler adds lines of advice."""
    first, *_ = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first}"


def _listen(questions: queue.SimpleQueue[str]) -> None:
    """Pass questions on; at their end kill this process and those it has started, such as a compiler."""
    for line in sys.stdin:
        questions.put(line)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():  # as `Contestant` starts it
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
