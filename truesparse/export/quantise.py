"""Weights as 8-bit integers with a scale for each row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR

_LARGEST = 127
_LARGEST_SCALE = 65535


class Quantised(NamedTuple):
    """``data[k] * (step * scales[row of k])`` is the weight of entry `k`.

    Attributes
    ----------
    data : ndarray of int8, shape (nnz,)
        In -127 .. 127.
    scales : ndarray of uint16, shape (rows,)
    step : float32
        What scales are multiples of.
    """

    data: NDArray[np.int8]
    scales: NDArray[np.uint16]
    step: np.float32

    @property
    def row_scales(self) -> NDArray[np.float32]:
        """What the numbers of each row are multiples of, shape (rows,)."""
        return self.step * self.scales.astype(np.float32)


def quantise(csr: CSR) -> Quantised:
    """Round weights to 8 bits; the largest of a row becomes about 127 or -127.

    Parameters
    ----------
    csr : CSR
        Of finite weights.
    """
    largest = np.zeros(csr.shape[0], np.float32)
    np.maximum.at(largest, csr.rows, np.abs(csr.data))
    step = np.float32(float(largest.max()) / _LARGEST / _LARGEST_SCALE)
    if step == 0:  # no weight is a normal number
        return Quantised(np.zeros(csr.data.size, np.int8), np.zeros(csr.shape[0], np.uint16), step)
    # rounded up, so that the largest weight of a row is in range
    scales = np.minimum(np.ceil(largest / (float(step) * _LARGEST)), _LARGEST_SCALE).astype(np.uint16)
    rounded = Quantised(np.empty(0, np.int8), scales, step)
    scale = rounded.row_scales.astype(np.float64)[csr.rows]
    ratio = np.divide(csr.data, scale, out=np.zeros(csr.data.size), where=scale > 0)
    return rounded._replace(data=np.clip(np.rint(ratio), -_LARGEST, _LARGEST).astype(np.int8))


def dequantise(csr: CSR, quantised: Quantised) -> CSR:
    """The matrix of the rounded weights."""
    return csr._replace(data=quantised.data * quantised.row_scales[csr.rows])
