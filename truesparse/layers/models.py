"""The chains that tasks train: language models, and models of whole sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from truesparse.errors import UsageError
from truesparse.layers.activity.spec import ActivityPenalty
from truesparse.layers.bidirectional.spec import Bidirectional
from truesparse.layers.chain import ChainSpec
from truesparse.layers.dropout.spec import Dropout, WordDropout
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.linear.spec import Linear
from truesparse.layers.mos.spec import MixtureOfSoftmaxes
from truesparse.layers.output.spec import Softmax, SquaredError
from truesparse.layers.pool.spec import Pool
from truesparse.layers.registry import cells
from truesparse.layers.spec import LayerSpec, Recurrent
from truesparse.layers.standardize.spec import Standardize
from truesparse.settings import listed

ONE_DIRECTION = (
    "a language model cannot read in both directions, as it would see the token that it is to predict"
)


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
    locked: bool | None = None,
    label_smoothing: float = 0.0,
    size_penalty: float = 0.0,
    change_penalty: float = 0.0,
    bidirectional: bool = False,
    experts: int = 0,
    dropout_latent: float = 0.0,
    dropout_first: float | None = None,
    last_hidden_size: int | None = None,
    **own: Any,
) -> ChainSpec:
    """Return a chain that predicts the next token: embedding, recurrent layers, softmax.

    Parameters
    ----------
    vocab_size, embedding_size, hidden_size, layers : int
    cell : str
        A recurrent layer by its name in the registry.
    pattern : {"weight", "unit"}
        See `truesparse.layers.spec.Recurrent`.
    tied : bool
        The output layer uses the embedding's matrix, whose size must be that of the last recurrent layer,
        except with `experts`.
    output_group : int
        How many words, with numbers next to each other, share their positions in the output layer, and in the
        embedding; divides the vocabulary.
    dropout : float or DropoutRates
        One rate stands for inputs and output, and in a cell whose models drop the same units at every step
        for all four.
    locked : bool, optional
        Drop the same units at every step; as the cell has it if left out.
    label_smoothing : float
        See `Softmax`.
    size_penalty, change_penalty : float
        Of the head's inputs after dropout, and of the top layer's outputs before it; see `ActivityPenalty`.
    bidirectional : bool
        Must be False.
    experts : int
        Softmaxes of a mixture, each of which reads `embedding_size` latent numbers; 0 for one softmax that
        reads the hidden layer. See `MixtureOfSoftmaxes`.
    dropout_latent : float
        Of the latent numbers of a mixture.
    dropout_first : float, optional
        Of the inputs of the first recurrent layer; as of the others if left out.
    last_hidden_size : int, optional
        Units of the last recurrent layer; `hidden_size` if left out.
    **own
        Settings of the recurrent layers, such as `depth`.

    Raises
    ------
    UsageError
        A size is out of range, the cell is unknown, the layers do not fit each other, or are to read in both
        directions.
    """
    if bidirectional:
        raise UsageError(f"{ONE_DIRECTION}; leave bidirectional out")
    rates, words, locked = _rates(cell, dropout, locked)
    head: dict[str, Any] = {"tied": tied, "group": output_group, "label_smoothing": label_smoothing}
    return ChainSpec(
        *words,
        Embedding(vocab_size, embedding_size, group=output_group),
        *_recurrent(
            *(cell, hidden_size, layers, pattern, rates, locked, own),
            first=dropout_first,
            last=last_hidden_size,
        ),
        *([ActivityPenalty(change=change_penalty)] if change_penalty else []),
        Dropout(rates.output, locked),
        *([ActivityPenalty(size=size_penalty)] if size_penalty else []),
        MixtureOfSoftmaxes(
            vocab_size, **head, experts=experts, latent=embedding_size, dropout_latent=dropout_latent
        )
        if experts
        else Softmax(vocab_size, **head),
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
    locked: bool | None = None,
    feature_mean: tuple[float, ...] = (),
    feature_scale: tuple[float, ...] = (),
    target_mean: tuple[float, ...] = (),
    target_scale: tuple[float, ...] = (),
    bidirectional: bool = False,
    label_smoothing: float = 0.0,
    **own: Any,
) -> ChainSpec:
    """Return a chain that maps a sequence, or each of its steps, to a class or to numbers.

    Parameters
    ----------
    vocab_size : int
        Tokens; 0 for a model without embedding, whose inputs are `embedding_size` features.
    embedding_size, hidden_size, layers, cell, pattern, dropout, locked, **own
        As in `language_model`.
    outputs : int
        Classes, or numbers to be estimated.
    kind : {"classifier", "regressor"}
        Whether outputs are the scores of classes, two or more, or the numbers themselves.
    pooling : {"last", "mean", "max", ""}
        What the output layer sees of the top layer's outputs; empty if it predicts at each step.
    sparse_output : bool
        Whether the output layer is sparse. If not, its weights are all there and counted with the biases.
    feature_mean, feature_scale : tuple of float
        Of each feature, if the model is to standardize what it reads; see `Standardize`.
    target_mean, target_scale : tuple of float
        Of each number to be estimated, if it learns in such units; see `SquaredError`.
    bidirectional : bool
        Whether each recurrent layer is one of two directions; see `Bidirectional`.
    label_smoothing : float
        Of classes; see `Softmax`.

    Raises
    ------
    UsageError
        As `language_model`.
    """
    rates, words, locked = _rates(cell, dropout, locked)
    if kind not in ("classifier", "regressor"):
        raise UsageError(f"a model of sequences is a classifier or a regressor, not a {kind!r}")
    first: list[LayerSpec] = [*words, Embedding(vocab_size, embedding_size)] if vocab_size else []
    if len(feature_mean) or len(feature_scale):
        first.append(Standardize(feature_mean, feature_scale))
    head: LayerSpec
    if kind == "classifier":
        if len(target_mean) or len(target_scale):
            raise UsageError("a classifier names classes, which have no mean and scale; leave both out")
        head = Softmax(outputs, sparse=sparse_output, label_smoothing=label_smoothing)
    else:
        head = SquaredError(outputs, sparse=sparse_output, mean=target_mean, scale=target_scale)
    return ChainSpec(
        *first,
        *_recurrent(cell, hidden_size, layers, pattern, rates, locked, own, bidirectional),
        *([Pool(pooling)] if pooling else []),
        Dropout(rates.output, locked and not pooling),
        head,
        features=0 if vocab_size else embedding_size,
    )


def feed_forward(
    features: int,
    hidden_sizes: Sequence[int],
    outputs: int,
    kind: str = "classifier",
    activation: str = "relu",
    dropout: float = 0.0,
    sparse_output: bool = False,
    label_smoothing: float = 0.0,
    scaled: Sequence[tuple[float, ...]] = (),
    **head: Any,
) -> ChainSpec:
    """Return a chain of linear layers that maps rows of features, sequences of one step, to classes or
    numbers.

    Parameters
    ----------
    features : int
    hidden_sizes : sequence of int
        Units of each hidden layer.
    outputs, kind, sparse_output, label_smoothing
        As in `sequence_model`.
    activation : str
        Of the hidden layers; see `Linear`.
    dropout : float
        Fraction of the units of each hidden layer dropped in training.
    scaled : (tuple of float, tuple of float)
        Mean and scale of each feature, if the model is to standardize what it reads; see `Standardize`.
    **head
        `mean` and `scale` of numbers to be estimated; see `SquaredError`.

    Raises
    ------
    UsageError
        A size is out of range.
    """
    layers: list[LayerSpec] = [Standardize(*scaled)] if scaled else []
    for size in hidden_sizes:
        layers += [Linear(size, activation), *([Dropout(dropout)] if dropout else [])]
    last: LayerSpec
    if kind == "classifier":
        last = Softmax(outputs, sparse=sparse_output, label_smoothing=label_smoothing)
    else:
        last = SquaredError(outputs, sparse=sparse_output, **head)
    return ChainSpec(*layers, Pool(), last, features=features)


def _rates(
    cell: str, dropout: float | DropoutRates, locked: bool | None
) -> tuple[DropoutRates, list[LayerSpec], bool]:
    """The rates of each kind, the layer that drops words, if any, and whether masks are locked."""
    known = cells()
    if cell not in known:
        raise UsageError(f"there is no cell {cell!r}; use {listed(known)}")
    all_kinds = known[cell].LOCKED
    if not isinstance(dropout, DropoutRates):
        rate = dropout
        dropout = DropoutRates(rate, rate, rate, rate) if all_kinds else DropoutRates(input=rate, output=rate)
    if not all_kinds and dropout.hidden:
        raise UsageError(f"the cell {cell} has no dropout of its hidden state")
    words: list[LayerSpec] = [WordDropout(dropout.embedding)] if all_kinds or dropout.embedding else []
    return dropout, words, all_kinds if locked is None else locked


def _recurrent(
    cell: str,
    units: int,
    layers: int,
    pattern: str,
    rates: DropoutRates,
    locked: bool,
    own: dict[str, Any],
    bidirectional: bool = False,
    first: float | None = None,
    last: int | None = None,
) -> list[LayerSpec]:
    """Recurrent layers, with dropout before each; `first` is its rate before the first one, and `last` are
    the units of the last one, if they are others."""
    spec = cells()[cell]
    if layers < 1:
        raise UsageError(f"layers must be at least 1, not {layers}")
    settings = {name: value for name, value in own.items() if value is not None}
    if spec.LOCKED:
        settings["dropout"] = rates.hidden
    unknown = sorted(settings.keys() - {field.name for field in (*spec.own_fields(), *fields(Recurrent))})
    if unknown:
        raise UsageError(f"the cell {cell} has no {unknown[0].replace('_', ' ')}; leave it out")
    made: list[LayerSpec] = []
    for number in range(layers):
        rate = first if first is not None and number == 0 else rates.input
        one = spec(last if last is not None and number == layers - 1 else units, pattern, **settings)
        made += [Dropout(rate, locked), Bidirectional(one) if bidirectional else one]
    return made
