"""The words that surprise a language model."""

from __future__ import annotations

import time

import numpy as np

from truesparse.modelfile import StoredModel, need_vocabulary, scores_overflow
from truesparse.runtime import LanguageModel
from truesparse.tasks.examined import SECONDS, WORST, Examined, Listing, Passage, shown_tokens
from truesparse.tasks.lm.use import text_of_training
from truesparse.training.evaluation import perplexity

_LANES = 32  # places of the text that are read from side by side
_WARM = 20  # tokens of each that are read before any counts


def examine(stored: StoredModel) -> Examined:
    """Read the test text of a run, from some places on; see `truesparse.tasks.classifier.examine.examine`."""
    vocabulary = need_vocabulary(stored.vocabulary, stored.path)
    ids = text_of_training(stored, vocabulary, "test")
    lanes = max(1, min(_LANES, len(ids) // (4 * _WARM)))
    steps = len(ids) // lanes
    text = ids[: lanes * steps].reshape(lanes, steps).T
    stream = LanguageModel(stored).stream(batch=lanes)
    losses, expected = [], []
    end = time.monotonic() + SECONDS
    for step in range(steps - 1):
        said = stream.step(text[step])
        losses.append(-said[np.arange(lanes), text[step + 1]])
        expected.append(said.argmax(axis=1))
        if time.monotonic() > end and step > _WARM:
            break
    first = min(_WARM, len(losses) // 2)
    loss, guess = np.array(losses)[first:], np.array(expected)[first:]
    if np.isnan(loss).any():
        raise scores_overflow(stored.path)
    right = text[first + 1 : len(losses) + 1]
    tokens, gap = shown_tokens(vocabulary), " " if vocabulary.level == "word" else ""
    surprising: list[tuple[str | Passage, ...]] = []
    for place in np.argsort(-loss, axis=None, kind="stable")[:WORST]:
        step, lane = np.unravel_index(place, loss.shape)
        own = lane * steps + step + first + 1
        around = [tokens[number] for number in ids[max(0, own - 20) : own + 20]]
        surprising.append(
            (
                Passage.of(around, min(20, int(own)), gap),
                tokens[guess[step, lane]],
                f"{np.exp(-loss[step, lane]):.2g}",
            )
        )
    times, total = np.zeros(len(tokens), np.int64), np.zeros(len(tokens))
    np.add.at(times, right.ravel(), 1)
    np.add.at(total, right.ravel(), loss.ravel())
    dear: list[tuple[str | Passage, ...]] = [
        (
            tokens[number],
            f"{times[number]:,}",
            f"{perplexity(total[number] / times[number]):,.1f}",
            f"{total[number] / total.sum():.1%}",
        )
        for number in np.argsort(-total, kind="stable")[:WORST]
        if times[number]
    ]
    part = "" if len(losses) == steps - 1 else f" of the {len(ids):,}"
    return Examined(
        f"{loss.size:,}{part} tokens of the test text, read from {lanes:,} places on: perplexity"
        f" {perplexity(float(loss.mean())):.2f}",
        [
            Listing("Most surprising tokens", ("token", "expected", "probability"), surprising),
            Listing("Tokens that cost most", ("token", "times", "perplexity", "share of the loss"), dear),
        ],
    )
