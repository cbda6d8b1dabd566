"""The texts that a classifier gets wrong."""

from __future__ import annotations

import numpy as np

from truesparse.data import Columns
from truesparse.data.labelled import CSV
from truesparse.modelfile import StoredModel, need_encoder
from truesparse.runtime import Classifier
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.examined import WORST, Examined, Listing, confusion_of, how_many, in_time
from truesparse.tasks.labelled import examples_to_measure

_LETTERS = 400  # of a text that are shown


def examine(stored: StoredModel) -> Examined:
    """Classify texts of the test part of a run.

    Parameters
    ----------
    stored : StoredModel
        In the folder of its run.

    Raises
    ------
    UsageError, TruesparseError
        The data are not there, are others than those of training, or the scores are not finite.
    """
    need_encoder(stored.encoder, stored.path)
    columns = Columns(stored.data.label_column, stored.data.text_column)
    table, (texts, labels, _) = examples_to_measure(stored, None, "test", ClassifierConfig, CSV, columns)
    model = Classifier(stored)
    seen, scores = [], []
    for numbers in in_time(len(texts), 32):
        ids = [texts.values[texts.starts[number] : texts.starts[number + 1]] for number in numbers]
        seen.append(numbers)
        scores.append(model.log_probabilities(ids))
    chosen, said = np.concatenate(seen), np.concatenate(scores)
    wanted, told = labels[chosen], said.argmax(axis=1)
    own = said[np.arange(len(chosen)), wanted]
    rows: list[tuple[str, ...]] = []
    for place in np.argsort(own, kind="stable"):
        if wanted[place] == told[place]:
            continue
        number, text = int(chosen[place]), table.texts[chosen[place]]
        rows.append(
            (
                text if len(text) <= _LETTERS else f"{text[:_LETTERS]} …",
                stored.labels[wanted[place]],
                stored.labels[told[place]],
                f"{np.exp(own[place]):.2%}",
                f"{table.rows[number]:,}",
            )
        )
        if len(rows) == WORST:
            break
    return Examined(
        f"{how_many(len(chosen), len(texts), 'test texts')}: accuracy {np.mean(wanted == told):.2%}",
        [
            Listing(
                "Texts with the worst mistakes",
                ("text", "label", "predicted", "probability of its label", "row"),
                list(rows),
            )
        ],
        stored.labels,
        confusion_of(wanted, told, len(stored.labels)),
    )
