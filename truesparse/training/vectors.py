"""Word vectors that the embedding of a new model begins with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from truesparse.errors import UsageError
from truesparse.settings import setting
from truesparse.topology import get_method

if TYPE_CHECKING:
    from truesparse.model import Model
    from truesparse.training.config import Config

C = TypeVar("C", bound="Config")

_FREE_METHODS = ("dense", "static", "st-rnn", "selfish", "set", "cht", "rigl")


def vectors_setting() -> Any:
    """The field for a file of vectors."""
    return setting(
        None,
        "File of word vectors that the embedding begins with: text of word2vec, GloVe or fastText; also .gz."
        " The largest numbers become its connections.",
        shown="none",
    )


def freeze_setting() -> Any:
    """The setting whether an embedding of given vectors learns."""
    return setting(False, "With --vectors: leave values and connections of the embedding as they are.")


class Found(NamedTuple):
    """How many tokens had a vector, of how many."""

    found: int
    tokens: int

    def __str__(self) -> str:
        return f"{self.found:,} of {self.tokens:,} tokens have a vector"


def check_vectors(config: Config) -> None:
    """Raise UsageError if a configuration asks for vectors and for something that does not go with them."""
    told = vars(config)
    if told.get("vectors") is None:
        if told.get("freeze_vectors"):
            raise UsageError("--freeze-vectors needs --vectors, a file of word vectors; give it too")
        return
    method = get_method(config.method)
    if told.get("level", "word") != "word":
        raise UsageError(f"--vectors are of words, but --level is {told['level']}; leave one of the two out")
    if told.get("output_group", 1) > 1:
        raise UsageError(
            "--vectors does not go with --output-group, by which words share their connections; leave one out"
        )
    if config.start_topology is not None:
        raise UsageError(
            "--vectors does not go with --start-topology, as each says what the embedding begins with; leave"
            " one of the two out"
        )
    if method.prepare is not None or method.initial == "small":
        raise UsageError(
            f"--vectors does not go with --method {method.name}, which draws its weights anew or makes the"
            " model smaller; use another method"
        )
    if told["freeze_vectors"] and method.name not in _FREE_METHODS:
        raise UsageError(
            f"--freeze-vectors does not go with --method {method.name}, which changes all matrices together"
            f"; use one of {', '.join(_FREE_METHODS)}"
        )


def sized(config: C) -> C:
    """A configuration whose embedding has the size of the vectors that it names, if it does not say another.

    Raises
    ------
    UsageError, TruesparseError
        The file cannot be read.
    """
    path = vars(config).get("vectors")
    if path is None or config.embedding_size is not None:
        return config
    from truesparse.data.vectors import vector_size

    return type(config).from_dict({**vars(config), "embedding_size": vector_size(Path(path))})


def use_vectors(model: Model, path: Path, tokens: Sequence[str]) -> Found:
    """Give the embedding of a new model the vectors of a file.

    The words that have one share as many connections as they had, which become the largest numbers of their
    vectors together; the others keep theirs.

    Parameters
    ----------
    model : Model
        Its arena is modified in place.
    path : Path
    tokens : sequence of str
        What the rows of the embedding stand for.

    Raises
    ------
    UsageError, TruesparseError
        See `truesparse.data.vectors.read_vectors`.

    Notes
    -----
    Memory goes with the connections of the embedding, not with words times the size of a vector.
    """
    import numpy as np

    from truesparse.data.vectors import read_vectors
    from truesparse.layers.chain import EMBEDDING
    from truesparse.sparse import Pattern
    from truesparse.sparse.rewiring import Rewiring

    arena, matrix = model.arena, model.arena.matrices[EMBEDDING]
    pattern = matrix.pattern
    rows, size = pattern.shape
    vectors = read_vectors(path, tokens, size, pattern.nnz)
    row = np.repeat(np.arange(rows, dtype=np.int64), np.diff(pattern.indptr))
    kept = np.flatnonzero(~vectors.found[row])
    chosen = vectors.largest(pattern.nnz - kept.size)
    places = np.concatenate([row[kept] * size + pattern.indices[kept], chosen.places])
    source = np.concatenate([kept, np.full(chosen.places.size, -1)]).astype(np.int32)
    order = np.argsort(places)
    places, source = places[order], source[order]
    indptr = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(places // size, minlength=rows), out=indptr[1:])
    new = Pattern(indptr, (places % size).astype(pattern.indices.dtype), pattern.shape)
    arena.apply(Rewiring({EMBEDDING: (new, source)}))
    matrix.data[source < 0] = chosen.values
    arena.touch()
    return Found(int(np.count_nonzero(vectors.found)), rows)
