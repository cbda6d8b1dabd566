"""What is done with a trained model: measure it, or let it write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from truesparse.data import Windows, load_evaluation_text
from truesparse.training.checkpoint import load_model
from truesparse.training.evaluation import evaluate, perplexity
from truesparse.training.rundir import find_model
from truesparse.training.sampling import sample


class TextEvaluation(NamedTuple):
    """Mean loss per token, in nats, over how many tokens; and which fraction of the text is ``<unk>``.

    `unknown` is None for a vocabulary without ``<unk>``. A high one says that the text does not fit the
    vocabulary, which makes the loss low: unknown words are easily told.
    """

    loss: float
    tokens: int
    unknown: float | None

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return perplexity(self.loss)


def evaluate_file(path: Path, data: Path | str | None = None, split: str = "test") -> TextEvaluation:
    """Measure the model of a file, in the batches and windows it was trained with.

    Parameters
    ----------
    path : Path
        A model file, or the folder of a run.
    data : Path or str, optional
        A folder or file of text, as for training; the text it was trained on if not given.
    split : {"train", "valid", "test"}

    Returns
    -------
    TextEvaluation

    Raises
    ------
    UsageError, TruesparseError
        The model or the text cannot be read, or the text is too short.
    """
    saved = load_model(find_model(path))
    config = saved.config
    ids = load_evaluation_text(data or config.data, saved.vocabulary, split)
    windows = Windows(ids, config.batch_size, config.bptt, f"{split} text")
    result = evaluate(saved.model, windows, saved.model.workspace(config.bptt, config.batch_size))
    number = saved.vocabulary.unknown
    return TextEvaluation(*result, None if number is None else float(np.mean(ids == number)))


def generate_text(
    path: Path, prompt: str = "", length: int = 100, temperature: float = 1.0, top_k: int = 0, seed: int = 1
) -> Iterator[str]:
    """Let the model of a file continue a text.

    Parameters
    ----------
    path : Path
        A model file, or the folder of a run.
    prompt : str
        What comes first; with nothing the model begins a new line.
    length, temperature, top_k
        As in `truesparse.training.sampling.sample`.
    seed : int

    Yields
    ------
    str
        The prompt as the model reads it, then what it adds, piece by piece.

    Raises
    ------
    UsageError, TruesparseError
        The model cannot be read, an argument is out of range, or the prompt has a token that the model does
        not know.
    """
    saved = load_model(find_model(path))
    vocabulary = saved.vocabulary
    ids = vocabulary.encode(prompt)
    yield vocabulary.decode(ids)
    last = [int(ids[-1])] if len(ids) else []
    if not last:
        ids = np.array([_line_end(vocabulary.tokens)], np.int32)
    for token in sample(saved.model, ids, length, np.random.default_rng(seed), temperature, top_k):
        yield vocabulary.decode([*last, token])[
            len(vocabulary.decode(last)) :
        ]  # with the space that parts the two
        last = [token]


def _line_end(tokens: tuple[str, ...]) -> int:
    """Number of the token that ends a line, or of the most frequent one."""
    return next((tokens.index(token) for token in ("<eos>", "\n") if token in tokens), 0)
