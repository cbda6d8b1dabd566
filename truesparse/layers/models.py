"""The chains that tasks train: language models, and models of whole sequences."""

from __future__ import annotations

from typing import Any, NamedTuple

from truesparse.errors import UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.dropout.spec import Dropout, WordDropout
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.output.spec import Softmax, SquaredError
from truesparse.layers.pool.spec import Pool
from truesparse.layers.registry import cells
from truesparse.layers.spec import LayerSpec
from truesparse.settings import listed


class DropoutRates(NamedTuple):
    """Rates in [0, 1): of whole words, of the layers' inputs, of the hidden state within its products, and of
    the output layer's input."""

    embedding: float = 0.0
    input: float = 0.0
    hidden: float = 0.0
    output: float = 0.0


def language_model(
    vocab_size: int,
    embedding_size: int,
    hidden_size: int,
    layers: int,
    cell: str = "lstm",
    pattern: str = "weight",
    tied: bool = False,
    output_group: int = 1,
    dropout: float | DropoutRates = 0.0,
    **own: Any,
) -> ChainSpec:
    """Return a chain that says what the next token is: embedding, recurrent layers, softmax.

    Parameters
    ----------
    vocab_size, embedding_size, hidden_size, layers : int
    cell : str
        A recurrent layer by its name in the registry.
    pattern : {"weight", "unit"}
        See `truesparse.layers.spec.Recurrent`.
    tied : bool
        The output layer uses the embedding's matrix, which asks for `embedding_size == hidden_size`.
    output_group : int
        How many words, with numbers next to each other, share their positions in the output layer, and in the
        embedding; divides the vocabulary.
    dropout : float or DropoutRates
        One rate stands for all that the cell has.
    **own
        Settings that the cell alone has, such as `depth`.

    Raises
    ------
    UsageError
        A size is out of range, the cell is unknown, or the layers do not fit each other.
    """
    rates, locked = _rates(cell, dropout)
    return ChainSpec(
        *([WordDropout(rates.embedding)] if locked else []),
        Embedding(vocab_size, embedding_size, group=output_group),
        *_recurrent(cell, hidden_size, layers, pattern, rates, own),
        Dropout(rates.output, locked),
        Softmax(vocab_size, tied=tied, group=output_group),
    )


def sequence_model(
    vocab_size: int,
    embedding_size: int,
    hidden_size: int,
    layers: int,
    cell: str = "lstm",
    pattern: str = "weight",
    outputs: int = 2,
    kind: str = "classifier",
    pooling: str = "last",
    sparse_output: bool = False,
    dropout: float | DropoutRates = 0.0,
    **own: Any,
) -> ChainSpec:
    """Return a chain that maps a sequence, or each of its steps, to a class or to numbers.

    Parameters
    ----------
    vocab_size : int
        Tokens; 0 for a model without embedding, whose inputs are `embedding_size` features.
    embedding_size, hidden_size, layers, cell, pattern, dropout, **own
        As in `language_model`.
    outputs : int
        Classes, or numbers to be estimated.
    kind : {"classifier", "regressor"}
        Whether outputs are the scores of classes, two or more, or the numbers themselves.
    pooling : {"last", "mean", "max", ""}
        What the output layer sees of the top layer's outputs; empty if it says something at each step.
    sparse_output : bool
        Whether the output layer is sparse. If not, its weights are all there and counted with the biases.

    Raises
    ------
    UsageError
        As `language_model`.
    """
    rates, locked = _rates(cell, dropout)
    if kind not in ("classifier", "regressor"):
        raise UsageError(f"a model of sequences is a classifier or a regressor, not a {kind!r}")
    first: list[LayerSpec] = [WordDropout(rates.embedding)] if locked and vocab_size else []
    if vocab_size:
        first.append(Embedding(vocab_size, embedding_size))
    head = Softmax if kind == "classifier" else SquaredError
    return ChainSpec(
        *first,
        *_recurrent(cell, hidden_size, layers, pattern, rates, own),
        *([Pool(pooling)] if pooling else []),
        Dropout(rates.output, locked and not pooling),
        head(outputs, sparse=sparse_output),
        features=0 if vocab_size else embedding_size,
    )


def _rates(cell: str, dropout: float | DropoutRates) -> tuple[DropoutRates, bool]:
    """The rates of each kind, and whether masks are locked, as the cell has it."""
    known = cells()
    if cell not in known:
        raise UsageError(f"there is no cell {cell!r}; use {listed(known)}")
    locked = known[cell].LOCKED
    if not isinstance(dropout, DropoutRates):
        rate = dropout
        dropout = DropoutRates(rate, rate, rate, rate) if locked else DropoutRates(input=rate, output=rate)
    if not locked and (dropout.embedding or dropout.hidden):
        raise UsageError("this cell has dropout of inputs and outputs only, not of words or its hidden state")
    return dropout, locked


def _recurrent(
    cell: str, units: int, layers: int, pattern: str, rates: DropoutRates, own: dict[str, Any]
) -> list[LayerSpec]:
    """Recurrent layers, with dropout before each."""
    spec = cells()[cell]
    if layers < 1:
        raise UsageError(f"layers must be at least 1, not {layers}")
    settings = {name: value for name, value in own.items() if value is not None}
    if spec.LOCKED:
        settings["dropout"] = rates.hidden
    unknown = sorted(settings.keys() - {field.name for field in spec.own_fields()})
    if unknown:
        raise UsageError(f"the cell {cell} has no {unknown[0].replace('_', ' ')}; leave it out")
    layer = spec(units, pattern, **settings)
    return [given for _ in range(layers) for given in (Dropout(rates.input, spec.LOCKED), layer)]
