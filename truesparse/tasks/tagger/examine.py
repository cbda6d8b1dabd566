"""The tokens that a tagger gets wrong."""

from __future__ import annotations

import numpy as np

from truesparse.modelfile import StoredModel
from truesparse.runtime import Tagger
from truesparse.tasks.examined import WORST, Examined, Listing, Passage, confusion_of, how_many, in_time
from truesparse.tasks.labelled import examples_to_measure
from truesparse.tasks.tagger.data import SENTENCES
from truesparse.tasks.tagger.reading import TokenColumns
from truesparse.tasks.tagger.settings import TaggerConfig


def examine(stored: StoredModel) -> Examined:
    """Label sentences of the test part of a run; see `truesparse.tasks.classifier.examine.examine`."""
    columns = TokenColumns(stored.data.token_column, stored.data.tag_column)
    read, (inputs, labels, _) = examples_to_measure(stored, None, "test", TaggerConfig, SENTENCES, columns)
    model = Tagger(stored)
    seen, wanted, told, own, where = 0, [], [], [], []
    for numbers in in_time(len(inputs), 32):
        cuts = [slice(inputs.starts[number], inputs.starts[number + 1]) for number in numbers]
        for number, cut, said in zip(
            numbers, cuts, model.log_probabilities([inputs.values[cut] for cut in cuts]), strict=True
        ):
            right = labels.values[cut]
            wanted.append(right)
            told.append(said.argmax(axis=1))
            own.append(said[np.arange(len(right)), right])
            where += [(int(number), step) for step in range(len(right))]
        seen += len(numbers)
    truth, guess, score = map(np.concatenate, (wanted, told, own))
    wrong = [place for place in np.argsort(score, kind="stable") if truth[place] != guess[place]]
    rows: list[tuple[str | Passage, ...]] = []
    for place in wrong[:WORST]:
        number, step = where[place]
        sentence = read.sentences[number]
        rows.append(
            (
                Passage.of(sentence.tokens, step),
                stored.labels[truth[place]],
                stored.labels[guess[place]],
                f"{np.exp(score[place]):.2%}",
                f"{sentence.line:,}",
            )
        )
    headings = ("token", "label", "predicted", "probability of its label", "sentence at line")
    return Examined(
        f"{how_many(seen, len(inputs), 'test sentences')}: accuracy {np.mean(truth == guess):.2%} of"
        f" {len(truth):,} tokens",
        [Listing("Tokens with the worst mistakes", headings, rows)],
        stored.labels,
        confusion_of(truth, guess, len(stored.labels)),
    )
