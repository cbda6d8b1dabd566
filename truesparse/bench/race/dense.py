"""The dense side of a race: the same model without zeros, in PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from truesparse.bench.masked_torch import MaskedLSTM, autocast, choose, clip
from truesparse.bench.race.lane import Measured
from truesparse.data.batches import Batch
from truesparse.files import replacing
from truesparse.modelfile import MODEL
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.lm.task import LanguageModeling
from truesparse.training.build import build_model
from truesparse.training.state import make_generators


class DenseRacer:
    """`nn.Embedding`, `nn.LSTM` and `nn.Linear`, dropout where truesparse has it, and fused SGD or Adam.

    Weights begin as those of truesparse's own dense model. Of the two biases of an `nn.LSTM` one learns. See
    `truesparse.bench.race.lane.Racer`.

    Parameters
    ----------
    config : LanguageModelConfig
        Filled in, of the method "dense" and what `truesparse.bench.race.plan.FOLLOWED` has.
    precision : {"float32", "bfloat16"}
        The latter with autocast; weights, their updates and evaluations are float32 in any case.
    """

    def __init__(self, config: LanguageModelConfig, precision: str) -> None:
        self._config = config
        self._precision = precision
        self._task = LanguageModeling(config)
        self.steps_per_epoch = len(self._task.train)
        self._begin()

    def _begin(self) -> None:
        """A model before its first step."""
        config = self._config
        torch.manual_seed(config.seed)
        initial = make_generators(config.seed)["initial"]
        first, _ = build_model(config, self._task.chain, self._task.train, initial)
        self._model = MaskedLSTM(first, masked=False)
        settings = vars(config)
        self._input, self._output = settings["dropout_input"], settings["dropout_output"]
        if config.layers > 1:
            self._model.lstm.dropout = self._input
        self._parameters = list(self._model.named.values())
        given = {"lr": settings["lr"], "weight_decay": settings["weight_decay"], "fused": True}
        if config.optimizer == "adam":
            betas = settings["beta1"], settings["beta2"]
            self._optimizer: Any = torch.optim.Adam(
                self._parameters, betas=betas, eps=settings["epsilon"], **given
            )
        else:
            self._optimizer = torch.optim.SGD(self._parameters, momentum=settings["momentum"], **given)
        self._state = self._model.zero_state(config.batch_size)
        self._steps = 0

    def warm_up(self) -> None:
        """Choose whether to use oneDNN, and one thread or all, too, by which is fastest."""
        choose(lambda: self.step(1.0), self._precision == "bfloat16")
        self._measure("valid")
        self._begin()

    def plan(self, steps: int) -> None:
        """Nothing depends on it."""

    def step(self, rate: float) -> tuple[float, int]:
        """Forward, backward, clipping and update."""
        batch = self._task.train.batch(*divmod(self._steps, self.steps_per_epoch))
        for group in self._optimizer.param_groups:
            group["lr"] = vars(self._config)["lr"] * rate * batch.rate
        if batch.begins:
            self._state = self._model.zero_state(self._config.batch_size)
        self._optimizer.zero_grad(set_to_none=True)
        with autocast(self._precision == "bfloat16"):
            loss, self._state = self._run(batch, self._state, training=True)
        loss.backward()
        if longest := self._config.optimizer_settings.clip:
            clip(self._parameters, longest)
        self._optimizer.step()
        self._steps += 1
        return loss.item(), batch.tokens

    def evaluate(self, best: float, model: Path) -> Measured:
        """Without autocast."""
        loss = self._measure("valid")
        kept = loss < best
        if kept:
            with replacing(model) as partial:
                save_file({name: of.detach() for name, of in self._model.named.items()}, partial)
        return Measured(loss, kept)

    def test(self, folder: Path) -> float:
        """Of what `evaluate` has written."""
        kept = load_file(folder / MODEL)
        with torch.no_grad():
            for name, weight in self._model.named.items():
                weight.copy_(kept[name])
        return self._measure("test")

    def facts(self) -> dict[str, Any]:
        """Also the version, and whether oneDNN is used."""
        positions = self._task.chain.dense_parameters
        return {
            "threads": torch.get_num_threads(),
            "nnz": positions,
            "dense_parameters": positions,
            "relative_flops": 1.0,
            "torch": torch.__version__,
            "onednn": torch.backends.mkldnn.enabled,
        }

    def _measure(self, part: str) -> float:
        """The mean loss over the windows of a part, the state carried."""
        total = counted = 0.0
        windows = self._task.windows[part]
        state = self._model.zero_state(self._config.batch_size)
        with torch.inference_mode():
            for k in range(len(windows)):
                batch = windows.batch(0, k)
                loss, state = self._run(batch, state, training=False)
                total += loss.item() * batch.counted
                counted += batch.counted
        return total / counted

    def _run(self, batch: Batch, state: Any, training: bool) -> tuple[torch.Tensor, Any]:
        """The mean loss of a window, and the state after it, through which no gradient goes."""
        model, drop = self._model, torch.nn.functional.dropout
        model.lstm.train(training)
        ids = torch.from_numpy(batch.inputs).long()
        y, after = model.lstm(drop(model.embedding(ids), self._input, training), state)
        logits = model.output(drop(y, self._output, training)).flatten(0, 1)
        targets = torch.from_numpy(batch.targets).long().flatten()
        loss = torch.nn.functional.cross_entropy(logits.float(), targets)
        return loss, tuple(part.detach().float() for part in after)
