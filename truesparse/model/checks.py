"""What is given to a model is checked here, since kernels check nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data.batches import Batch
from truesparse.errors import UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.output.spec import Softmax


def check_batch(chain: ChainSpec, batch: Batch) -> None:
    """Check that a model of some layers can read a batch.

    Raises
    ------
    UsageError
        It has features where the model reads tokens, targets of another shape than the head takes, or a
        number that is out of range.
    """
    inputs, targets = batch.inputs, batch.targets
    check_inputs(chain, inputs, batch.lengths)
    steps, size = inputs.shape[0], inputs.shape[-1]
    if batch.weights is not None:
        _check_shape("weights", batch.weights, (size,), f"float64: the batch has {size} sequences")
    first = (steps,) if chain.per_step else ()
    each = "each step" if chain.per_step else "each sequence"
    if isinstance(chain.head, Softmax):
        _check_shape("targets", targets, (*first, size), f"int32: the model names a class for {each}")
        _check_numbers("target", targets, chain.head.outputs, "the model names")
    else:
        shape = *first, chain.head.outputs, size
        _check_shape("targets", targets, shape, f"float32: the model says numbers for {each}")


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
    kind = "iu" if why.startswith("int") else "f"
    if array.shape != shape or array.dtype.kind not in kind:
        raise UsageError(
            f"the {what} are {array.dtype} of shape {array.shape}, but must be of shape {shape} and {why}"
        )


def _check_numbers(what: str, array: NDArray[Any], count: int, why: str) -> None:
    if array.size and not -1 <= array.min() <= array.max() < count:
        wrong = array.max() if array.max() >= count else array.min()
        raise UsageError(f"there is a {what} {wrong}, but {why} the numbers 0 to {count - 1}")
