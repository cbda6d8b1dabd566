"""A training step of a sparse feed-forward net beside masked PyTorch, in processor time on one thread.

``python benchmarks/mlp_step.py`` makes steps of both sides in turn, in one process, and prints a line of JSON
for each density. ``truesparse bench mlp`` measures clock time, which other programs on the machine spoil;
`time.process_time` leaves them out, but for what they take of the caches. Needs PyTorch.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import torch

from truesparse.bench.masked_rows import MaskedRows
from truesparse.bench.ours import SparseTraining
from truesparse.bench.rows import Rows
from truesparse.kernels.threads import set_threads

_TURNS, _OURS, _THEIRS = 21, 50, 10  # and steps in a turn


def _milliseconds(step: Callable[[], object], steps: int) -> float:
    began = time.process_time()
    for _ in range(steps):
        step()
    return 1000 * (time.process_time() - began) / steps


def main() -> None:
    """See the module."""
    torch.set_num_threads(1)
    set_threads(1)
    for density in (0.05, 0.02, 0.01):
        ours, theirs = SparseTraining(Rows(density=density)), MaskedRows(Rows(density=density))
        theirs.tune()
        _milliseconds(ours.step, _OURS)  # compiles
        turns = [
            (_milliseconds(ours.step, _OURS), _milliseconds(theirs.step, _THEIRS)) for _ in range(_TURNS)
        ]
        own, other = zip(*turns, strict=True)
        record = {
            "density": density,
            "ours_ms": statistics.median(own),
            "masked_torch_ms": statistics.median(other),
            "ratio": statistics.median(b / a for a, b in turns),
        }
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
