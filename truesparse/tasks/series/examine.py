"""The sequences, steps or forecasts that a model gets wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import Sequences, SeriesEncoder
from truesparse.data.forecast import Windows
from truesparse.data.series import Series
from truesparse.layers.output.spec import Softmax, SquaredError
from truesparse.modelfile import StoredModel
from truesparse.runtime.loading import as_model
from truesparse.tasks.examined import WORST, Examined, Listing, Passage, confusion_of, how_many, in_time
from truesparse.tasks.series.settings import reads_rows
from truesparse.tasks.series.use import encoder_of, examples_of


def examine(stored: StoredModel) -> Examined:
    """Read sequences of the test part of a run; see `truesparse.tasks.classifier.examine.examine`."""
    read, (inputs, labels, _) = examples_of(stored, None, "test")
    encoder, head = encoder_of(stored), stored.chain.head
    model: Any = as_model(stored)
    classes = isinstance(head, Softmax)
    seen, said, right, where = 0, [], [], []
    for numbers in in_time(len(inputs), 32):
        padded, lengths = inputs.batch(numbers, len(numbers))
        sequences = [padded[:length, :, place] for place, length in enumerate(lengths)]
        outputs = model.log_probabilities(sequences) if classes else model.predict(sequences)
        for number, own in zip(numbers, outputs, strict=True):
            own = np.atleast_2d(own)
            if isinstance(labels, Sequences):
                truth = labels.values[labels.starts[number] : labels.starts[number + 1]]
            else:
                truth = labels[..., number][None]
            if isinstance(inputs, Windows):
                simple = inputs.simple[:, number]
                own, truth = own + simple, truth + simple
            said.append(own)
            right.append(truth)
            where += [(number, step if encoder.per_step else -1) for step in range(len(own))]
        seen += len(numbers)
    examples = "rows" if reads_rows(stored) else "forecasts" if encoder.horizon else "sequences"
    what = how_many(seen, len(inputs), f"test {examples}")
    told, truth = np.concatenate(said), np.concatenate(right)

    def named(place: int) -> str:
        number, step = where[place]
        if encoder.horizon:
            return _origin(read, encoder, int(number))
        return _name(read, inputs, int(number)) + (f", step {step + 1:,}" if step >= 0 else "")

    if classes:
        return _classes(stored, what, told, truth, named)
    assert isinstance(head, SquaredError)
    return _numbers(encoder.told, what, told, truth, np.array(head.scale or np.ones(told.shape[1])), named)


def _classes(stored: StoredModel, what: str, said: NDArray[Any], truth: NDArray[Any], named: Any) -> Examined:
    told = said.argmax(axis=1)
    own = said[np.arange(len(truth)), truth]
    wrong = [place for place in np.argsort(own, kind="stable") if told[place] != truth[place]]
    rows: list[tuple[str | Passage, ...]] = [
        (
            named(place),
            stored.labels[truth[place]],
            stored.labels[told[place]],
            f"{np.exp(own[place]):.2%}",
        )
        for place in wrong[:WORST]
    ]
    headings = ("where", "label", "predicted", "probability of its label")
    return Examined(
        f"{what}: accuracy {np.mean(told == truth):.2%}",
        [Listing("The worst mistakes", headings, rows)],
        stored.labels,
        confusion_of(truth, told, len(stored.labels)),
    )


def _numbers(
    names: tuple[str, ...],
    what: str,
    told: NDArray[Any],
    truth: NDArray[Any],
    scale: NDArray[np.float64],
    named: Any,
) -> Examined:
    errors = (told.astype(np.float64) - truth) / scale
    worst = np.argsort(-np.abs(errors), axis=None, kind="stable")[:WORST]
    rows: list[tuple[str | Passage, ...]] = []
    for flat in worst:
        place, column = np.unravel_index(flat, errors.shape)
        values = truth[place, column], told[place, column], errors[place, column]
        rows.append((named(int(place)), names[column], *(f"{value:.5g}" for value in values)))
    root = float(np.sqrt(np.mean(np.square(errors))))
    return Examined(
        f"{what}: root of the mean squared error {root:.4g} standard deviations of the training data",
        [Listing("Largest errors", ("where", "target", "right", "estimated", "in deviations"), rows)],
    )


def _origin(read: Series, encoder: SeriesEncoder, number: int) -> str:
    """The series of a forecast, and the last step that it knows."""
    ends = np.cumsum(read.inputs.lengths - encoder.needed + 1)
    own = int(np.searchsorted(ends, number, side="right"))
    first = encoder.season + encoder.lookback - 1 + number - (int(ends[own - 1]) if own else 0)
    step = int(read.inputs.starts[own]) + first
    if read.stamps is not None:
        when = read.stamps.texts[step]
    else:
        when = f"step {first + 1:,}" if read.step_rows is None else f"row {read.step_rows[step]:,}"
    name = read.ids[own] if read.ids else f"series {own + 1:,}" if len(read) > 1 else ""
    return f"{name}, after {when}" if name else f"after {when}"


def _name(read: Series, inputs: Sequences, number: int) -> str:
    """What to call a sequence."""
    if len(read.ids) == len(inputs):
        return str(read.ids[number])
    return f"row {read.rows[number]:,}" if len(read.rows) == len(inputs) else f"sequence {number + 1:,}"
