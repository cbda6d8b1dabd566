"""What an imported model reads and says, where its own file does not tell: tokens, features and labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from truesparse.data import SeriesEncoder, TextEncoder, TokenEncoder, Vocabulary
from truesparse.data.encoder import PAD
from truesparse.data.files import read_text, without_packing
from truesparse.data.series_encoder import CLASSIFY, LABEL_STEPS, REGRESS, REGRESS_STEPS, numbered
from truesparse.data.words import UNKNOWN, Level
from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.output.spec import Softmax
from truesparse.modelfile import Encoder

_LENGTH = 400  # words of a text that an imported classifier reads by default
# What other programs call the tokens for unknown words and for padding.
_UNKNOWN = ("[UNK]", "<UNK>", "UNK", "unk", "[unk]", "<oov>", "<OOV>", "[OOV]")
_PAD = ("", "<PAD>", "[PAD]", "PAD", "pad", "[pad]")


@dataclass(frozen=True)
class Names:
    """Inputs and outputs of a model: its layers, and what `truesparse.model.saving.save_model` takes."""

    chain: ChainSpec
    vocabulary: Vocabulary | None = None
    encoder: Encoder = None
    labels: tuple[str, ...] = ()


def read_names(
    chain: ChainSpec,
    source: str,
    vocabulary: Path | None = None,
    labels: Path | None = None,
    features: str | None = None,
) -> Names:
    """Inputs and outputs of a model.

    Parameters
    ----------
    chain : ChainSpec
    source : str
        What messages call the model.
    vocabulary : Path, optional
        See `read_vocabulary`. Without it, the model reads numbers only. Of a classifier or tagger it must
        have a token for unknown words, such as ``<unk>`` or ``[UNK]``.
    labels : Path, optional
        A label a line, or JSON: names of the outputs, in their order; their numbers if not given.
    features : str, optional
        Of a model of features: their names in their order, with commas; those of the columns of an array if
        not given.

    Raises
    ------
    UsageError, TruesparseError
        A file cannot be read, or does not fit the model.
    """
    next_token = chain.per_step and chain.head.outputs == chain.tokens
    tells_labels = isinstance(chain.head, Softmax) and not next_token
    no_labels = "no text with --vocabulary, or tells no labels"
    for flag, given, right, reads in (
        ("--vocabulary", vocabulary, bool(chain.tokens), "no tokens"),
        ("--labels", labels, tells_labels and (vocabulary is not None or not chain.tokens), no_labels),
        ("--features", features, not chain.tokens, "tokens"),
    ):
        if given is not None and not right:
            raise UsageError(f"{flag} does not go with {source}, which reads {reads}; leave it out")
    if chain.features:
        named = _read_labels(labels, chain, source) if isinstance(chain.head, Softmax) else ()
        return Names(chain, None, _features_of(chain, source, features), named)
    if vocabulary is None:
        if chain.per_step and isinstance(chain.head, Softmax) and not next_token:
            raise UsageError(
                f"{source} tells a label for each token, and a tagger has to know its tokens; give"
                " --vocabulary"
            )
        return Names(chain)
    words = read_vocabulary(vocabulary)
    if len(words) != chain.tokens:
        raise TruesparseError(
            f"{vocabulary} has {len(words):,} tokens, the embedding of {source} {chain.tokens:,}"
        )
    if next_token or not isinstance(chain.head, Softmax):
        return Names(chain, words)
    words = _with_special(words, vocabulary)
    encoder = TokenEncoder(words) if chain.per_step else TextEncoder(words, _LENGTH)
    return Names(chain, words, encoder, _read_labels(labels, chain, source))


def _read_labels(path: Path | None, chain: ChainSpec, source: str) -> tuple[str, ...]:
    """Names of the outputs."""
    if path is None:
        return tuple(map(str, range(chain.head.outputs)))
    names = tuple(_read_list(path))
    if len(names) != chain.head.outputs or len(set(names)) != len(names):
        raise TruesparseError(
            f"{path} has {len(set(names)):,} different labels, but {source} has {chain.head.outputs:,}"
            f" outputs; give one for each"
        )
    return names


def _features_of(chain: ChainSpec, source: str, features: str | None) -> SeriesEncoder:
    """How a model of features reads a table; its columns are called as those of an array without names."""
    names = numbered("x", chain.features, "value")
    if features is not None:
        names = tuple(name.strip() for name in features.split(","))
        if len(names) != chain.features or len(set(names)) != len(names) or "" in names:
            raise UsageError(
                f"--features has {len(set(names)):,} different names, but {source} reads {chain.features:,}"
                f" features; give one for each, with commas"
            )
    if isinstance(chain.head, Softmax):
        return SeriesEncoder(LABEL_STEPS if chain.per_step else CLASSIFY, names, ("label",))
    goal = REGRESS_STEPS if chain.per_step else REGRESS
    return SeriesEncoder(goal, names, numbered("y", chain.head.outputs, "y"))


def _with_special(words: Vocabulary, path: Path) -> Vocabulary:
    """A vocabulary of words in which the special tokens have the names that they have here."""
    tokens = list(words.tokens)
    for own, others in ((UNKNOWN, _UNKNOWN), (PAD, _PAD)):
        if own not in tokens:
            tokens = [
                own if token in others and own not in tokens[:place] else token
                for place, token in enumerate(tokens)
            ]
    if UNKNOWN not in tokens:
        raise TruesparseError(
            f"{path} has no token for unknown words, which a model of texts needs; call one of them {UNKNOWN}"
        )
    return Vocabulary(tuple(tokens), "word", True)


def read_vocabulary(path: Path) -> Vocabulary:
    """Read what the tokens are.

    Parameters
    ----------
    path : Path
        JSON (``.json``): a list of tokens in the order of their numbers, or an object of tokens and numbers.
        Any other file: a token a line. If all tokens are single characters, text is read by characters.

    Raises
    ------
    TruesparseError
        The file cannot be read, is something else, or has a token twice.
    """
    tokens = _read_list(path)
    level: Level = "char" if tokens and all(len(token) == 1 for token in tokens) else "word"
    return Vocabulary(tuple(tokens), level)


def _read_list(path: Path) -> list[str]:
    text = read_text(path)
    try:
        is_json = without_packing(path.name).lower().endswith(".json")
        tokens = json.loads(text) if is_json else text.removesuffix("\n").split("\n")
    except ValueError:
        raise TruesparseError(f"{path} is not valid JSON") from None
    if isinstance(tokens, dict):
        by_number = {number: token for token, number in tokens.items() if type(number) is int}
        if by_number.keys() != set(range(len(tokens))):
            raise TruesparseError(f"{path} does not number its {len(tokens):,} tokens from 0 on")
        tokens = [by_number[number] for number in range(len(tokens))]
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise TruesparseError(f"{path} is neither a list of tokens nor an object of tokens and numbers")
    return tokens
