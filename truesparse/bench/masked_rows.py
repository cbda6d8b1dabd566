"""The same feed-forward net with dense weights times masks, in PyTorch."""

from __future__ import annotations

from collections.abc import Collection
from itertools import cycle

import torch

from truesparse.bench.masked_torch import Tuned, clip
from truesparse.bench.ours import build, dense_copy
from truesparse.bench.rows import Rows
from truesparse.bench.workload import LEARNING_RATE, MAX_NORM, MOMENTUM


class MaskedRows(Tuned):
    """Training steps; masks and what is clipped are as in `truesparse.bench.masked_torch`."""

    def __init__(self, task: Rows, options: Collection[str] = ()) -> None:
        sparse = build(task)
        self._layers: list[torch.nn.Linear] = []
        self._masked: list[torch.Tensor] = []
        self._masks: list[torch.Tensor] = []
        with torch.no_grad():
            for place in sparse.chain.places:
                if not place.vectors:
                    continue
                layer = torch.nn.Linear(place.given.size, place.output.size)
                self._layers.append(layer)
                name = f"{place.name}.weight"
                layer.bias.copy_(torch.from_numpy(sparse.arena.biases[f"{place.name}.bias"]))
                if name not in sparse.matrices:
                    layer.weight.copy_(torch.from_numpy(sparse.arena.biases[name]).view_as(layer.weight))
                    continue
                weight, mask = dense_copy(sparse.matrices[name])
                layer.weight.copy_(torch.from_numpy(weight))
                if task.masked:
                    self._masked.append(layer.weight)
                    self._masks.append(torch.from_numpy(mask))
        self._parameters = [parameter for layer in self._layers for parameter in layer.parameters()]
        self._optimizer = torch.optim.SGD(self._parameters, lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)
        self._windows = cycle(
            [(torch.from_numpy(x[0].T.copy()), torch.from_numpy(y).long()) for x, y in task.windows()]
        )

    def step(self) -> float:
        """Train on the next rows and return their mean loss before the update."""
        x, targets = next(self._windows)
        self._optimizer.zero_grad(set_to_none=True)
        *hidden, last = self._layers
        for layer in hidden:
            x = torch.relu(layer(x))
        loss = torch.nn.functional.cross_entropy(last(x), targets)
        loss.backward()
        clip(self._parameters, MAX_NORM)
        self._optimizer.step()
        if self._masks:
            with torch.no_grad():
                torch._foreach_mul_(self._masked, self._masks)
        return loss.item()
