"""What is given to a model is checked here, since kernels check nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data.batches import Batch, Batches
from truesparse.errors import UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.output.spec import Softmax
from truesparse.model.model import Model
from truesparse.settings import check_kind


def check_model(model: Any) -> None:
    """Raise UsageError if what is given for a model is none."""
    check_kind("model", model, Model, "a model, such as Chain.init or load returns")


def check_batches_kind(batches: Any, name: str = "batches") -> None:
    """Raise UsageError if what is given for batches is none, or has none."""
    check_kind(name, batches, Batches, "batches, such as Windows or SequenceBatches")
    if not len(batches):
        raise UsageError(f"{name} has no batch to read; give it data")


def check_batches(chain: ChainSpec, batches: Any, name: str = "batches") -> None:
    """Check once that a model of some layers can read all batches of an epoch.

    Raises
    ------
    UsageError
        They are none, there is none, or one does not fit; see `check_batch`.
    """
    check_batches_kind(batches, name)
    for k in range(len(batches)):
        check_batch(chain, batches.batch(0, k))


def check_batch(chain: ChainSpec, batch: Batch) -> None:
    """Check that a model of some layers can read a batch.

    Raises
    ------
    UsageError
        It has features where the model reads tokens, targets of another shape than the head takes, or a
        number that is out of range.
    """
    check_kind("the batch", batch, Batch, "a Batch")
    inputs, targets = batch.inputs, batch.targets
    check_inputs(chain, inputs, batch.lengths)
    steps, size = inputs.shape[0], inputs.shape[-1]
    if batch.weights is not None:
        shape = (steps, size) if chain.per_step and batch.weights.ndim == 2 else (size,)
        _check_shape("weights", batch.weights, shape, f"float64: the batch has {size} sequences")
        if not (batch.weights.min() >= 0 and 0 < batch.weights.sum() < np.inf):
            raise UsageError("the weights of a batch must be finite, 0 or more, and one of them above 0")
    first = (steps,) if chain.per_step else ()
    each = "each step" if chain.per_step else "each sequence"
    if isinstance(chain.head, Softmax):
        _check_shape("targets", targets, (*first, size), f"int32: the model names a class for {each}")
        _check_numbers("target", targets, chain.head.outputs, "the model names")
    else:
        shape = *first, chain.head.outputs, size
        _check_shape("targets", targets, shape, f"float32: the model predicts numbers for {each}")


def check_numbers(batch: Batch) -> None:
    """Raise UsageError if features, or targets that are numbers, make what is computed of them not finite."""
    for what, array in ("inputs", batch.inputs), ("targets", batch.targets):
        if array.dtype.kind == "f" and (np.isinf(array) | (np.isnan(array) & (what == "inputs"))).any():
            raise UsageError(f"the {what} of the batch have numbers that are not finite; mend them")


def check_inputs(chain: ChainSpec, inputs: NDArray[Any], lengths: NDArray[Any] | None = None) -> None:
    """Check that a model of some layers can read inputs of shape (steps, B) or (steps, D, B).

    Raises
    ------
    UsageError
        They are features where the model reads tokens, or the other way round, or out of range.
    """
    if not isinstance(inputs, np.ndarray) or inputs.ndim < 2:
        raise UsageError("inputs must be an array of shape (steps, batch) or (steps, features, batch)")
    steps, size = inputs.shape[0], inputs.shape[-1]
    if chain.tokens:
        _check_shape("inputs", inputs, (steps, size), "int32: the model reads tokens")
        _check_numbers("token", inputs, chain.tokens, "the model reads")
    else:
        shape = steps, chain.features, size
        _check_shape("inputs", inputs, shape, f"float32: the model reads {chain.features} features")
    if lengths is not None:
        _check_shape("lengths", lengths, (size,), f"int32: the batch has {size} sequences")
        if lengths.size and not 0 <= lengths.min() <= lengths.max() <= steps:
            raise UsageError(f"lengths go from {lengths.min()} to {lengths.max()}, but must be 0 to {steps}")


def _check_shape(what: str, array: NDArray[Any], shape: tuple[int, ...], why: str) -> None:
    check_kind(what, array, np.ndarray, "an array")
    kind = "iu" if why.startswith("int") else "f"
    if array.shape != shape or array.dtype.kind not in kind:
        raise UsageError(
            f"the {what} are {array.dtype} of shape {array.shape}, but must be of shape {shape} and {why}"
        )


def _check_numbers(what: str, array: NDArray[Any], count: int, why: str) -> None:
    if array.size and not -1 <= array.min() <= array.max() < count:
        wrong = array.max() if array.max() >= count else array.min()
        raise UsageError(f"there is a {what} {wrong}, but {why} the numbers 0 to {count - 1}")
