"""The same models with dense weights times masks, in PyTorch: the strongest dense side on a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from itertools import cycle
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from truesparse.bench.ours import build, dense_copy
from truesparse.bench.workload import LEARNING_RATE, MAX_NORM, MOMENTUM, Workload
from truesparse.model import Model


class MaskedLSTM:
    """`nn.Embedding`, `nn.LSTM` and `nn.Linear` with the weights of a sparse model, dense, and their masks.

    Gradients get no masks: what they add under a mask is wiped out with the weight; they count in the norm
    that is clipped. Masks are float32, whose product is three times as fast as that with bool.

    Parameters
    ----------
    sparse : Model
        Of LSTM layers.
    masked : bool
        Whether the weights that it does not have stay zero.

    Attributes
    ----------
    embedding, lstm, output : Module
    named : dict of str to Parameter
        By the names of the sparse model.
    """

    def __init__(self, sparse: Model, masked: bool = True) -> None:
        chain = sparse.chain
        layers, embedding_size = len(chain.recurrent), chain.recurrent[0].given.size
        self.embedding = torch.nn.Embedding(chain.tokens, embedding_size)
        self.lstm = torch.nn.LSTM(embedding_size, chain.units, layers)
        self.output = torch.nn.Linear(chain.units, chain.head.outputs)
        self.named = {
            "embedding.weight": self.embedding.weight,
            "output.weight": self.output.weight,
            "output.bias": self.output.bias,
        }
        for layer in range(layers):
            for name, theirs in (("weight_ih", "weight_ih"), ("weight_hh", "weight_hh"), ("bias", "bias_ih")):
                self.named[f"lstm.{layer}.{name}"] = getattr(self.lstm, f"{theirs}_l{layer}")
            getattr(self.lstm, f"bias_hh_l{layer}").requires_grad_(False).zero_()  # one bias is enough
        self._masked: list[torch.Tensor] = []
        self._masks: list[torch.Tensor] = []
        with torch.no_grad():
            for name, matrix in sparse.matrices.items():
                weight, mask = dense_copy(matrix)
                self.named[name].copy_(torch.from_numpy(weight))
                if masked:
                    self._masked.append(self.named[name])
                    self._masks.append(torch.from_numpy(mask))
            for name, values in sparse.arena.biases.items():
                self.named[name].copy_(torch.from_numpy(values).view_as(self.named[name]))

    def apply_masks(self) -> None:
        """Set what is under the masks to zero."""
        if self._masks:
            with torch.no_grad():
                torch._foreach_mul_(self._masked, self._masks)


class MaskedTorch:
    """Masked training steps with the fused SGD; see `MaskedLSTM`.

    Parameters
    ----------
    task : Workload
        The model starts with the weights of the sparse model of this task.

    Attributes
    ----------
    parameters : dict of str to Parameter
        By the names of the sparse model.
    """

    def __init__(self, task: Workload) -> None:
        self._task = task
        self._model = MaskedLSTM(build(task), task.masked)
        self.parameters = self._model.named
        shape = (task.layers, task.batch_size, task.hidden_size)
        self._state = torch.zeros(shape), torch.zeros(shape)
        self._optimizer = torch.optim.SGD(
            self.parameters.values(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=True
        )

    def loss_and_gradients(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Compute the mean cross-entropy of a window, and its gradients in place of those before."""
        self._optimizer.zero_grad(set_to_none=True)
        y, state = self._model.lstm(self._model.embedding(ids), self._state)
        if self._task.kind == "lm":
            self._state = state[0].detach(), state[1].detach()
        else:
            y = y[-1]
        logits = self._model.output(y.reshape(-1, y.shape[-1]))
        loss = torch.nn.functional.cross_entropy(logits, targets.reshape(-1))
        loss.backward()
        return loss

    def update(self) -> None:
        """Clip by the norm of all gradients, those under the masks included, and step."""
        clip(self.parameters.values(), MAX_NORM)
        self._optimizer.step()
        self._model.apply_masks()

    def predict(self, ids: torch.Tensor) -> torch.Tensor:
        """Read one token of every sequence, shape (1, B); return log-probabilities, shape (B, V)."""
        y, self._state = self._model.lstm(self._model.embedding(ids), self._state)
        return torch.log_softmax(self._model.output(y[0]), dim=1)


class Tuned:
    """Runs with or without oneDNN, whichever is faster."""

    step: Callable[..., Any]
    _onednn = False

    def tune(self) -> None:
        """Choose the faster configuration."""
        self._onednn = choose_onednn(self.step)

    def facts(self) -> dict[str, Any]:
        """Return what the report says about this side."""
        version, threads = torch.__version__, torch.get_num_threads()
        return {"torch": version, "torch_threads": threads, "torch_onednn": self._onednn}


class TorchTraining(Tuned):
    """Training steps of the masked model in PyTorch, with or without oneDNN, whichever is faster."""

    def __init__(self, task: Workload) -> None:
        self.model = MaskedTorch(task)
        self._windows = cycle([(_tensor(ids), _tensor(targets)) for ids, targets in task.windows()])

    def step(self) -> float:
        """Train on the next window and return its mean loss before the update."""
        loss = self.model.loss_and_gradients(*next(self._windows))
        self.model.update()
        return loss.item()


class TorchPrediction(Tuned):
    """The next token's log-probabilities, one step at a time, in PyTorch."""

    def __init__(self, task: Workload) -> None:
        self._model = MaskedTorch(task)
        self._ids = cycle([_tensor(ids[:1]) for ids, _ in task.windows()])

    def step(self) -> NDArray[np.float32]:
        """Read the next token of every sequence; return log-probabilities of shape (B, V)."""
        with torch.inference_mode():
            return self._model.predict(next(self._ids)).numpy()


def clip(parameters: Collection[torch.nn.Parameter], longest: float) -> None:
    """Scale the gradients if their norm is above `longest`."""
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if norm > longest:  # else there is nothing to multiply, which clip_grad_norm_ would do with 1
        torch.nn.utils.clip_grads_with_norm_(parameters, longest, norm)


def choose_onednn(step: Any) -> bool:
    """Switch oneDNN on or off for this process, by which two steps after a first one are faster."""
    seconds = {}
    for enabled in (False, True):
        torch.backends.mkldnn.enabled = enabled
        step()
        start = time.perf_counter()
        step()
        step()
        seconds[enabled] = time.perf_counter() - start
    torch.backends.mkldnn.enabled = seconds[True] <= seconds[False]
    return seconds[True] <= seconds[False]


def _tensor(array: NDArray[np.int32]) -> torch.Tensor:
    return torch.from_numpy(array).long()
