"""Weights as 8-bit integers with a scale for each row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.modelfile import CSR

_LARGEST = 127


class Quantised(NamedTuple):
    """``data[k] * scales[row of k]`` is the weight that entry `k` stands for.

    Attributes
    ----------
    data : ndarray of int8, shape (nnz,)
        In -127 .. 127.
    scales : ndarray of float32, shape (rows,)
    """

    data: NDArray[np.int8]
    scales: NDArray[np.float32]


def quantise(csr: CSR) -> Quantised:
    """Round weights to 8 bits; the largest of a row becomes 127 or -127.

    Parameters
    ----------
    csr : CSR
        Of finite weights.
    """
    largest = np.zeros(csr.shape[0], np.float32)
    np.maximum.at(largest, csr.rows, np.abs(csr.data))
    scales = largest / np.float32(_LARGEST)
    ratio = np.divide(csr.data, scales[csr.rows], out=np.zeros_like(csr.data), where=scales[csr.rows] > 0)
    return Quantised(np.clip(np.rint(ratio), -_LARGEST, _LARGEST).astype(np.int8), scales)


def dequantise(csr: CSR, quantised: Quantised) -> CSR:
    """The matrix that the rounded weights stand for."""
    return csr._replace(data=quantised.data * quantised.scales[csr.rows])
