"""The task of telling a label for each token of a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import SequenceBatches, TokenEncoder
from truesparse.data.parts import Examples
from truesparse.data.weights import weights_of
from truesparse.data.words import WORD_RULE
from truesparse.errors import UsageError
from truesparse.tasks.label_settings import chosen_by
from truesparse.tasks.labelled import LabelledTask
from truesparse.tasks.sequences import sequence_chain
from truesparse.tasks.steps import outputs, pieces, step_outputs, steps_at_once
from truesparse.tasks.tagger.data import TaggingData, load_data, lookup
from truesparse.tasks.tagger.reading import TokenColumns
from truesparse.tasks.tagger.settings import TaggerConfig
from truesparse.tasks.tagger.spans import LabelCounts, Scheme, count_labels
from truesparse.training.communicator import SERIAL, Communicator
from truesparse.training.task import Measures, ReadsAs, Workspaces

if TYPE_CHECKING:
    from truesparse.model import Model, Workspace


class Tagging(LabelledTask):
    """A tagger on sentences with labels.

    Parameters
    ----------
    config : TaggerConfig
        Filled in.
    data : TaggingData, optional
        What the configuration names if not given.
    word_rule : int
        Of the vocabulary of data that are read.
    like : ReadsAs, optional
        Has vocabulary and labels for data that are read.

    Raises
    ------
    UsageError, TruesparseError
        The data are missing or cannot be read or learned from.
    """

    def __init__(
        self,
        config: TaggerConfig,
        data: TaggingData | None = None,
        word_rule: int = WORD_RULE,
        like: ReadsAs | None = None,
    ) -> None:
        data = data or _load(config, word_rule, like)
        train = data.parts["train"]
        weights = weights_of(config.class_weight, train.labels.values, data.labels)
        if weights is not None and not weights.all():
            raise UsageError("--class-weight is 0 for a label; leave its tokens a weight above 0")
        batches = SequenceBatches(
            pieces(train.inputs, config.length),
            pieces(train.labels, config.length),
            config.batch_size,
            config.seed,
            weights,
        )
        assert isinstance(data.encoder, TokenEncoder)
        chain = sequence_chain(config, len(data.encoder.vocabulary), len(data.labels))
        super().__init__(config, chain, batches, data)
        valid, _ = (steps_at_once(chain, data.parts[part].inputs) for part in ("valid", "test"))
        self.longest = max(batches.longest, valid)
        self._data = data
        self.scheme = Scheme.of(data.labels)
        if config.choose_by == "f1" and self.scheme is None:
            raise UsageError("--choose-by f1 needs labels that mark spans, such as B-X; use macro-f1")
        usual = "f1" if self.scheme else "accuracy"
        self.chosen_by = chosen_by(usual if config.choose_by == "auto" else config.choose_by)

    def evaluate(
        self, model: Model, part: str, workspaces: Workspaces, stop: Callable[[], bool] = lambda: False
    ) -> Measures:
        """See `Task.evaluate`; also `accuracy`, `tokens`, `macro_f1` of the labels, and where these mark
        spans `precision`, `recall` and `f1` of them, and `macro_f1` of their types."""
        sentences = self._data.parts[part]
        lanes = self.config.batch_size // self.communicator.size
        workspace = workspaces(steps_at_once(self.chain, sentences.inputs), lanes)
        labels = self._data.labels
        return measure(model, sentences, labels, self.scheme, workspace, stop, self.communicator).measures

    def log_probabilities(
        self, model: Model, part: str, stop: Callable[[], bool]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """See `LabelledTask.log_probabilities`."""
        sentences = self._data.parts[part]
        steps = steps_at_once(self.chain, sentences.inputs)
        workspace = model.workspace(steps, self.config.batch_size)
        return outputs(model, sentences.inputs, workspace, stop), sentences.labels.values

    def results(self, valid: Measures, test: Measures) -> Measures:
        """What was measured on the validation and test sentences; also the accuracy of telling always the
        most frequent label, and the measures of telling the most frequent one of each token."""
        data = self._data
        sentences = data.parts["test"]
        labels = sentences.labels.values
        told = lookup(data.sentences["train"], data.sentences["test"], data.labels)
        simple = Labelled(0.0, labels, told, _count(data.labels, self.scheme, sentences, told)).measures
        every = np.bincount(data.parts["train"].labels.values)
        names = ("accuracy",) if self.scheme is None else ("accuracy", "f1")
        detailed = names if self.scheme is None else (*names, "precision", "recall")
        return {
            **{f"valid_{name}": valid[name] for name in names},
            **{f"test_{name}": test[name] for name in detailed},
            "majority_accuracy": float(np.mean(labels == every.argmax())),
            **{f"lookup_{name}": simple[name] for name in names},
        }


@dataclass(frozen=True)
class Labelled:
    """How a model has labelled tokens.

    Attributes
    ----------
    loss : float
        Mean, in nats per token.
    labels, told : ndarray of int32, shape (tokens,)
        Numbers of the labels that they have, and that they were given.
    counts : LabelCounts
        Of spans by type; where labels mark none, of tokens by label.
    spans : bool
        Whether of spans.
    """

    loss: float
    labels: NDArray[np.int32]
    told: NDArray[np.int32]
    counts: LabelCounts
    spans: bool = True

    @property
    def measures(self) -> Measures:
        """In numbers for a record."""
        accuracy = {"loss": self.loss, "accuracy": float(np.mean(self.labels == self.told))}
        rates = self.counts.rates() if self.spans else {}
        return {**accuracy, **rates, "macro_f1": self.counts.macro_f1, "tokens": self.labels.size}


def measure(
    model: Model,
    sentences: Examples,
    labels: tuple[str, ...],
    scheme: Scheme | None,
    workspace: Workspace,
    stop: Callable[[], bool] = lambda: False,
    communicator: Communicator = SERIAL,
) -> Labelled:
    """Label the tokens of sentences whose labels are known, without dropout.

    Parameters
    ----------
    model : Model
    sentences : Examples
    labels, scheme
        Of the model.
    workspace : Workspace
        For as many steps as `steps_at_once` says, and as many sentences as are to be read side by side.
        Overwritten.
    stop, communicator
        See `truesparse.tasks.steps.step_outputs`.

    Raises
    ------
    EvaluationStopped
        `stop` returned True.
    """
    wanted = sentences.labels.values
    told = np.zeros_like(wanted)
    loss = 0.0
    for where, scores in step_outputs(model, sentences.inputs, workspace, stop, communicator):
        told[where] = scores.argmax(axis=1)
        own = np.take_along_axis(scores, wanted[where, None], axis=1)
        loss -= float(own.sum(dtype=np.float64))
    (loss,), told = communicator.sums(loss), communicator.total(told)
    counts = _count(labels, scheme, sentences, told)
    return Labelled(loss / wanted.size, wanted, told, counts, scheme is not None)


def _count(
    labels: tuple[str, ...], scheme: Scheme | None, sentences: Examples, told: NDArray[np.int32]
) -> LabelCounts:
    if scheme is None:
        return count_labels(labels, sentences.labels.values, told)
    return scheme.count(sentences.labels.values, told, sentences.labels.starts)


def _load(config: TaggerConfig, word_rule: int, like: ReadsAs | None) -> TaggingData:
    """Read the data that a configuration names; raises as `load_data`, and if it names none."""
    if config.data is None:
        raise UsageError("--data is missing; give a CoNLL or JSON lines file, or a folder with train.conll")
    tokens: dict[str, Any] = {
        "size": config.vocabulary,
        "min_count": config.min_count,
        "lower_case": config.lower_case,
    }
    columns = TokenColumns(config.token_column, config.tag_column)
    fractions = config.valid_fraction, config.test_fraction
    own = () if like is None else (like.vocabulary, like.labels)
    return load_data(Path(config.data), columns, tokens, *fractions, config.seed, word_rule, *own)
