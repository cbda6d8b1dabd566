"""How a file says that data are read for its model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_OF_TEXT = ("batch_size", "bptt")
_COLUMNS = (
    *("label_column", "text_column", "tag_column", "token_column"),
    *("target_column", "id_column", "time_column", "weight_column"),
)
_OF_LABELLED = ("batch_size", *_COLUMNS, "valid_fraction", "test_fraction", "seed")


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """How data are read for a model.

    Attributes
    ----------
    batch_size : int
        Texts read side by side, B.
    bptt : int
        Of a language model: time steps of a window, T.
    built_in : bool
        Of a language model: whether it was trained on the built-in text.
    label_column, text_column : str
        Of a classifier: names of the columns of labelled texts.
    tag_column, token_column : str
        Of a tagger: which columns labels and tokens are in.
    target_column, id_column, time_column : str
        Of a model of features: names of the columns of what it tells, of the sequences and of times.
    weight_column : str
        Name of the column of how much a row counts in training; empty if there is none.
    valid_fraction, test_fraction : float or None
        Of a model with labels: which part of the data was taken out of those to train on; None if nobody
        knows.
    seed : int or None
        Of a model with labels: decides which those were.
    """

    batch_size: int = 20
    bptt: int = 35
    built_in: bool = False
    label_column: str = "label"
    text_column: str = "text"
    tag_column: str = "auto"
    token_column: str = "auto"
    target_column: str = "auto"
    id_column: str = ""
    time_column: str = ""
    weight_column: str = ""
    valid_fraction: float | None = None
    test_fraction: float | None = None
    seed: int | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any], labelled: bool) -> DataSettings:
        """Read it from the document of a file.

        Parameters
        ----------
        document : mapping
            Its `data`, or in a file that has none its `config`, may be anything: what is missing or cannot be
            has its default.
        labelled : bool
            Whether it is of a model with labels.
        """
        given = document.get("data")
        if given is None:
            given = data_document(document.get("config"), labelled)
        if not isinstance(given, dict):
            return cls()
        return cls(**{name: given[name] for name, right in _RIGHT.items() if right(given.get(name))})


def data_document(config: Any, labelled: bool) -> dict[str, Any]:
    """The settings of the data in a training configuration, for the document of a file; not their place."""
    if not isinstance(config, Mapping):
        return {}
    names = _OF_LABELLED if labelled else _OF_TEXT
    document = {name: config[name] for name in names if config.get(name) is not None}
    return document | ({} if labelled else {"built_in": "data" in config and config["data"] is None})


def _is_size(value: object) -> bool:
    return type(value) is int and 1 <= value <= 1_000_000_000


def _is_fraction(value: object) -> bool:
    return type(value) is float and 0 < value < 1


_RIGHT: dict[str, Callable[[Any], bool]] = {
    "batch_size": _is_size,
    "bptt": _is_size,
    "built_in": lambda value: type(value) is bool,
    **dict.fromkeys(_COLUMNS, lambda value: isinstance(value, str)),
    "valid_fraction": _is_fraction,
    "test_fraction": _is_fraction,
    "seed": lambda value: type(value) is int and 0 <= value <= 10**18,
}
