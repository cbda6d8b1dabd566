"""Numbers of 16 bits that travel in the place of those of 32: the upper half of a float32, rounded."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import beside_jit

_HALF = np.uint32(16)
_ONE = np.uint32(1)
_BELOW = np.uint32(0x7FFF)
_SIGNLESS = np.uint32(0x7FFFFFFF)
_INFINITY = np.uint32(0x7F800000)
_NAN = np.uint16(0x7FC0)


@beside_jit
def to_bf16(out, values):
    """Round numbers to the nearest with 8 significant bits, to the even one of two that are as near.

    Parameters
    ----------
    out : ndarray of uint16, shape (size,)
        Overwritten.
    values : ndarray of float32, shape (size,)
        NaN stays NaN.
    """
    bits = values.view(np.uint32)
    for i in range(bits.size):
        x = bits[i]
        rounded = np.uint16((x + _BELOW + ((x >> _HALF) & _ONE)) >> _HALF)
        out[i] = _NAN if (x & _SIGNLESS) > _INFINITY else rounded


@beside_jit
def add_bf16(total, values):
    """Add what `to_bf16` gave to numbers.

    Parameters
    ----------
    total : ndarray of float32, shape (size,)
        Modified in place.
    values : ndarray of uint16, shape (size,)
    """
    for i in range(values.size):
        total[i] += np.uint32(np.uint32(values[i]) << _HALF).view(np.float32)
