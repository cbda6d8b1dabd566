"""The same models with dense weights times masks, in PyTorch: the strongest dense side on a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from itertools import cycle, product
from math import inf
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from truesparse.bench.ours import build, dense_copy
from truesparse.bench.workload import LEARNING_RATE, MAX_NORM, MOMENTUM, Workload
from truesparse.kernels.cores import has_bfloat16, thread_counts
from truesparse.model import Model

_TURNS = 2  # of each configuration that is tried


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
    options : collection of {"bf16", "compile"}
        Autocast to bfloat16; what `torch.compile` makes of a time step and of the output layer.

    Attributes
    ----------
    embedding, lstm, output : Module
    named : dict of str to Parameter
        By the names of the sparse model.
    """

    def __init__(self, sparse: Model, masked: bool = True, options: Collection[str] = ()) -> None:
        chain = sparse.chain
        sizes = [(place.given.size, place.output.size) for place in chain.recurrent]
        self.embedding = torch.nn.Embedding(chain.tokens, sizes[0][0])
        uniform = len({units for _, units in sizes}) == 1
        self.lstm: Any = torch.nn.LSTM(*sizes[0], len(sizes)) if uniform else _Layers(sizes)
        self.output = torch.nn.Linear(chain.units, chain.head.outputs)
        self.named = {
            "embedding.weight": self.embedding.weight,
            "output.weight": self.output.weight,
            "output.bias": self.output.bias,
        }
        self._stacks = [self.lstm] if uniform else list(self.lstm.layers)
        places = [(stack, number) for stack in self._stacks for number in range(stack.num_layers)]
        for layer, (stack, number) in enumerate(places):
            for name, theirs in (("weight_ih", "weight_ih"), ("weight_hh", "weight_hh"), ("bias", "bias_ih")):
                self.named[f"lstm.{layer}.{name}"] = getattr(stack, f"{theirs}_l{number}")
            getattr(stack, f"bias_hh_l{number}").requires_grad_(False).zero_()  # one bias is enough
        self._mixed = "bf16" in options
        if self._mixed:  # until `choose` has found out what is faster; oneDNN may refuse it elsewhere
            torch.backends.mkldnn.enabled = has_bfloat16()
        self._cell: Any = torch.compile(_cell) if "compile" in options else None
        self._cross_entropy = torch.compile(self._loss_of) if "compile" in options else self._loss_of
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

    def zero_state(self, batch: int) -> tuple[torch.Tensor, ...]:
        """The state before the first step: h and c, of all layers if these have one width, else of each."""
        return tuple(
            torch.zeros(stack.num_layers, batch, stack.hidden_size)
            for stack in self._stacks
            for _ in ("h", "c")
        )

    def run(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """The hidden states of all steps, shape (T, B, H), and the state after them, as `zero_state` has it.

        `torch.compile` leaves an `nn.LSTM` as it is, and compiling it step by step (`allow_rnn`) takes
        minutes for 20 steps: what is compiled is a step, called in a loop.
        """
        if self._cell is None:
            return self.lstm(x, state)
        last = []
        for layer in range(self.lstm.num_layers):
            names = ("weight_ih", "weight_hh", "bias_ih")
            w, u, bias = (getattr(self.lstm, f"{name}_l{layer}") for name in names)
            zero = x.new_zeros(x.shape[1], self.lstm.hidden_size)
            h, c = (zero, zero) if state is None else (part[layer] for part in state)
            outputs = []
            for gates in torch.nn.functional.linear(x, w, bias):
                h, c = self._cell(gates, h, c, u)
                outputs.append(h)
            x = torch.stack(outputs)
            last.append((h, c))
        return x, tuple(torch.stack(parts) for parts in zip(*last, strict=True))

    def loss(self, y: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean cross-entropy of the output layer; targets of -1 do not count."""
        return self._cross_entropy(y, targets)

    def _loss_of(self, y: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self.output(y).float(), targets, ignore_index=-1)

    def autocast(self) -> AbstractContextManager[Any]:
        """For the forward pass."""
        return autocast(self._mixed)

    def apply_masks(self) -> None:
        """Set what is under the masks to zero."""
        if self._masks:
            with torch.no_grad():
                torch._foreach_mul_(self._masked, self._masks)


class _Layers(torch.nn.Module):
    """LSTM layers of different widths, called as an `nn.LSTM` is; its state is h and c of each layer.

    Parameters
    ----------
    sizes : sequence of (int, int)
        Inputs and units of each.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.LSTM(*size) for size in sizes)
        self.dropout = 0.0

    def forward(
        self, x: torch.Tensor, state: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        after: list[torch.Tensor] = []
        for number, layer in enumerate(self.layers):
            if number:
                x = torch.nn.functional.dropout(x, self.dropout, self.training)
            x, last = layer(x, tuple(state[2 * number : 2 * number + 2]))
            after += last
        return x, tuple(after)


class MaskedTorch:
    """Masked training steps with the fused SGD; see `MaskedLSTM`.

    Parameters
    ----------
    task : Workload
        The model starts with the weights of the sparse model of this task.
    options : collection of str
        See `MaskedLSTM`.

    Attributes
    ----------
    parameters : dict of str to Parameter
        By the names of the sparse model.
    """

    def __init__(self, task: Workload, options: Collection[str] = ()) -> None:
        self._task = task
        self._model = MaskedLSTM(build(task), task.masked, options)
        self.parameters = self._model.named
        self._state = self._model.zero_state(task.batch_size)
        self._optimizer = torch.optim.SGD(
            self.parameters.values(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=True
        )

    def loss_and_gradients(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Compute the mean cross-entropy of a window, and its gradients in place of those before."""
        self._optimizer.zero_grad(set_to_none=True)
        with self._model.autocast():
            y, state = self._model.run(self._model.embedding(ids), self._state)
            if self._task.kind == "lm":
                self._state = tuple(part.detach().float() for part in state)
            else:
                y = y[-1]
            loss = self._model.loss(y.reshape(-1, y.shape[-1]), targets.reshape(-1))
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
    """Runs with or without oneDNN, on one thread or all, whichever is fastest.

    Attributes
    ----------
    mixed : bool
        Whether it is in bfloat16.
    """

    step: Callable[..., Any]
    mixed = False

    def tune(self) -> None:
        """Choose the fastest configuration."""
        choose(self.step, self.mixed)

    def facts(self) -> dict[str, Any]:
        """Return the facts about this side for the report."""
        threads, onednn = torch.get_num_threads(), torch.backends.mkldnn.enabled
        return {
            "threads": threads,
            "torch": torch.__version__,
            "torch_threads": threads,
            "torch_onednn": onednn,
            **({"bfloat16": "processor" if has_bfloat16() else "software"} if self.mixed else {}),
        }


class TorchTraining(Tuned):
    """Training steps of the masked model in PyTorch."""

    def __init__(self, task: Workload, options: Collection[str] = ()) -> None:
        self.model = MaskedTorch(task, options)
        self.mixed = "bf16" in options
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


def autocast(mixed: bool) -> AbstractContextManager[Any]:
    """Products in bfloat16, or nothing; what is kept is float32 in any case."""
    context: AbstractContextManager[Any] = torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed)
    return context


def choose(step: Callable[[], Any], mixed: bool = False) -> None:
    """Choose what is fastest for this process: oneDNN or not, and one thread, one for each core, or all.

    Each configuration has its turns with others between them, so that no busy moment decides: its best turn
    counts, and in each a first step does not. Where the processor multiplies bfloat16, mixed precision needs
    no trial without oneDNN, in which a step can take a minute.
    """
    seconds: dict[tuple[int, bool], float] = {}
    ways = (True,) if mixed and has_bfloat16() else (False, True)
    configurations = list(product(thread_counts(torch.get_num_threads()), ways))
    for configuration in configurations * _TURNS:
        _configure(*configuration)
        try:
            step()
            begin = time.perf_counter()
            step()
        except RuntimeError:  # oneDNN has no LSTM of bfloat16 for processors that do not multiply that
            if not configuration[1] or len(ways) == 1:
                raise
            continue
        took = time.perf_counter() - begin
        seconds[configuration] = min(took, seconds.get(configuration, inf))
    _configure(*min(seconds, key=seconds.__getitem__))


def _configure(threads: int, onednn: bool) -> None:
    torch.set_num_threads(threads)
    torch.backends.mkldnn.enabled = onednn


def _cell(
    gates: torch.Tensor, h: torch.Tensor, c: torch.Tensor, weight_hh: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A time step of an LSTM, from what its input has given to the gates."""
    i, f, g, o = (gates + h @ weight_hh.t()).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _tensor(array: NDArray[np.int32]) -> torch.Tensor:
    return torch.from_numpy(array).long()
