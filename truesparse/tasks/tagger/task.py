"""The task of telling a label for each token of a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import SequenceBatches, Sequences
from truesparse.data.parts import Examples
from truesparse.data.words import WORD_RULE
from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.tasks.labelled import LabelledTask
from truesparse.tasks.sequences import sequence_chain
from truesparse.tasks.tagger.data import TaggingData, load_data, lookup, pieces
from truesparse.tasks.tagger.reading import TokenColumns
from truesparse.tasks.tagger.settings import TaggerConfig
from truesparse.tasks.tagger.spans import LabelCounts, Scheme, count_labels
from truesparse.training.evaluation import EvaluationStopped
from truesparse.training.task import Measures, ReadsAs, Workspaces

if TYPE_CHECKING:
    from truesparse.model import Model, Workspace

# Steps of a sentence that are tagged at once; the next ones go on from there. Buffers are for as many however
# short sentences are: sums are taken in an order that depends on that.
WINDOW = 64
# A tagger that reads in both directions takes a sentence whole, and buffers as long as it; what is longer is no
# sentence, but a file without empty lines.
LONGEST = 4096


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
        batches = SequenceBatches(
            pieces(train.inputs, config.length),
            pieces(train.labels, config.length),
            config.batch_size,
            config.seed,
        )
        chain = sequence_chain(config, len(data.encoder.vocabulary), len(data.labels))
        super().__init__(config, chain, batches, data)
        valid, _ = (steps_at_once(chain, data.parts[part].inputs) for part in ("valid", "test"))
        self.longest = max(batches.longest, valid)
        self._data = data
        self.scheme = Scheme.of(data.labels)
        self.chosen_by = ("f1" if self.scheme else "accuracy", "loss")

    def evaluate(
        self, model: Model, part: str, workspaces: Workspaces, stop: Callable[[], bool] = lambda: False
    ) -> Measures:
        """See `Task.evaluate`; also `accuracy`, `tokens`, and where labels mark spans `precision`, `recall`
        and `f1` of these."""
        sentences = self._data.parts[part]
        workspace = workspaces(steps_at_once(self.chain, sentences.inputs), self.config.batch_size)
        return measure(model, sentences, self._data.labels, self.scheme, workspace, stop).measures

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
        return {**accuracy, **(self.counts.rates() if self.spans else {}), "tokens": self.labels.size}


def measure(
    model: Model,
    sentences: Examples,
    labels: tuple[str, ...],
    scheme: Scheme | None,
    workspace: Workspace,
    stop: Callable[[], bool] = lambda: False,
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
    stop : callable
        Asked before each window.

    Raises
    ------
    EvaluationStopped
        `stop` returned True.
    """
    wanted = sentences.labels.values
    told = np.empty_like(wanted)
    loss = 0.0
    for where, scores in label_scores(model, sentences.inputs, workspace, stop):
        told[where] = scores.argmax(axis=1)
        own = np.take_along_axis(scores, wanted[where, None], axis=1)
        loss -= float(own.sum(dtype=np.float64))
    counts = _count(labels, scheme, sentences, told)
    return Labelled(loss / wanted.size, wanted, told, counts, scheme is not None)


def steps_at_once(chain: ChainSpec, sentences: Sequences) -> int:
    """For how many steps of sentences it takes buffers to tag them: all of the longest, if a model reads in both
    directions.

    Raises
    ------
    TruesparseError
        It does, and one is longer than `LONGEST`.
    """
    if not chain.whole:
        return WINDOW
    if sentences.longest > LONGEST:
        raise TruesparseError(
            f"a sentence has {sentences.longest:,} tokens, and a tagger that reads in both directions takes whole"
            f" ones of at most {LONGEST:,}; put an empty line after each sentence"
        )
    return max(WINDOW, sentences.longest)


def label_scores(
    model: Model,
    sentences: Sequences,
    workspace: Workspace,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Read sentences, each from a state of zeros to its end, whatever its length.

    Parameters
    ----------
    model, workspace, stop
        As in `measure`.
    sentences : Sequences
        Numbers of tokens.

    Yields
    ------
    slice
        Which of `sentences.values`.
    ndarray of float32, shape (tokens, labels)
        Log-probabilities of their labels.
    """
    batch_size = workspace.window.panels.batch
    order = np.argsort(sentences.lengths, kind="stable")
    whole = model.chain.whole
    state = None if whole else model.zero_state(batch_size)
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        inputs, lengths = sentences.batch(chosen, batch_size)
        if state is not None:
            state.reset()
        steps = len(inputs) if whole else WINDOW
        for start in range(0, len(inputs), steps):
            if stop():
                raise EvaluationStopped
            window = inputs[start : start + steps]
            left = np.clip(lengths - start, 0, len(window)).astype(np.int32)
            scores = model.predict_steps(window, workspace, state, left)
            for place, number in enumerate(chosen):
                if left[place]:
                    begin = sentences.starts[number] + start
                    yield slice(begin, begin + left[place]), scores[: left[place], :, place]


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
