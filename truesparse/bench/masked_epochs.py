"""Epochs of the same text classifier with dense weights times masks, in PyTorch."""

from __future__ import annotations

from collections.abc import Collection

import torch

from truesparse.bench.masked_torch import MaskedLSTM, Tuned, choose, clip
from truesparse.bench.text_epochs import SparseEpochs
from truesparse.tasks.classifier.settings import ClassifierConfig


class MaskedEpochs(Tuned):
    """Training with the fused Adam; see `truesparse.bench.masked_torch.MaskedLSTM`.

    Texts of a batch are of like length, and all are read to the end of the longest. Gradients under the masks
    count in the norm that is clipped.

    Parameters
    ----------
    config : ClassifierConfig
        Filled in. The model starts with the weights of the sparse model.
    options : collection of str
        "dense" for no masks; others as of `MaskedLSTM`.
    """

    def __init__(self, config: ClassifierConfig, options: Collection[str] = ()) -> None:
        self._config = config
        self.mixed = "bf16" in options
        self._clip = config.optimizer_settings.clip
        sparse = SparseEpochs(config)
        self._batches, self._model = sparse.batches, MaskedLSTM(sparse.model, "dense" not in options, options)
        self._parameters = self._model.named.values()
        self._optimizer = torch.optim.Adam(self._parameters, lr=config.optimizer_settings.lr, fused=True)
        self._epochs = 0

    def loss(self) -> float:
        """The mean loss of the first batch, without dropout."""
        return self._loss(0, 0, 0.0).item()

    def tune(self) -> None:
        """Choose the fastest configuration, by a batch of the median length; the last one may be smaller."""
        steps = [self._batches.batch(0, k).inputs.shape[0] for k in range(len(self._batches))]
        median = sorted(range(len(steps)), key=steps.__getitem__)[len(steps) // 2]
        choose(lambda: self._train(0, median), self.mixed)
        self._train(0, len(steps) - 1)

    def step(self) -> None:
        """An epoch."""
        for k in range(len(self._batches)):
            self._train(self._epochs, k)
        self._epochs += 1

    def _train(self, epoch: int, k: int) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        self._loss(epoch, k, self._config.dropout).backward()
        if self._clip:
            clip(self._parameters, self._clip)
        self._optimizer.step()
        self._model.apply_masks()

    def _loss(self, epoch: int, k: int, dropout: float) -> torch.Tensor:
        batch = self._batches.batch(epoch, k)
        ids, lengths, labels = batch.inputs, batch.lengths, batch.targets
        assert lengths is not None
        model, drop = self._model, torch.nn.functional.dropout
        with model.autocast():
            y, _ = model.run(drop(model.embedding(torch.from_numpy(ids).long().clamp(min=0)), dropout))
            last = y[torch.from_numpy(lengths).long() - 1, torch.arange(len(lengths))]
            return model.loss(drop(last, dropout), torch.from_numpy(labels).long())
