"""Losses on one panel of outputs: softmax cross-entropy and squared error."""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import jit, parallel_jit, prange
from truesparse.simd import vbroadcast, vexp, vload, vmax, vstore

CHUNKS = 16  # parts of the vocabulary, a fixed number, so that sums do not depend on the number of threads
_ZERO = np.float32(0)
_LOWEST = np.float32(-3e38)


@cache
def softmax_cross_entropy(n: int):
    """Return the kernel that turns the logits of a panel of `n` lanes into losses and gradients.

    The kernel takes
    ``logits`` : float32 `[V, n]`; overwritten: with ``weight * scale * (softmax - onehot(target))`` when
    ``gradients`` is true;
    ``targets`` : int32 `[n]`, -1 for an unused lane, whose gradient becomes zero;
    ``weights`` : float32 `[n]`, how much each lane counts, 1 for once;
    ``scale`` : float32, what the sum is multiplied by for a mean;
    ``work`` : float32 `[CHUNKS + 2, n]`, working space; the last two rows are left with the highest logit of
    each lane, and with ``weight * scale`` divided by the sum of ``exp(logit - highest)``, 0 for an unused
    lane;
    ``gradients`` : bool.
    It returns the sum over the used lanes of -weight log softmax(logits)[target], in nats, as float64.
    """

    @parallel_jit
    def softmax_cross_entropy_kernel(logits, targets, weights, scale, work, gradients):
        vocabulary = logits.shape[0]
        top = CHUNKS * n
        sums = top + n
        for chunk in prange(CHUNKS):
            highest = vbroadcast(_LOWEST, n)
            for i in range(vocabulary * chunk // CHUNKS, vocabulary * (chunk + 1) // CHUNKS):
                highest = vmax(vload(logits, i * n, n), highest)
            vstore(work, chunk * n, highest)
        highest = vload(work, 0, n)
        for chunk in range(1, CHUNKS):
            highest = vmax(vload(work, chunk * n, n), highest)
        vstore(work, top, highest)
        loss = 0.0
        for lane in range(n):
            if targets[lane] >= 0:
                gap = np.float64(work[CHUNKS, lane]) - np.float64(logits[targets[lane], lane])
                loss += np.float64(weights[lane]) * gap
        for chunk in prange(CHUNKS):
            total = vbroadcast(_ZERO, n)
            shift = vload(work, top, n)
            for i in range(vocabulary * chunk // CHUNKS, vocabulary * (chunk + 1) // CHUNKS):
                power = vexp(vload(logits, i * n, n) - shift)
                total = total + power
                if gradients:
                    vstore(logits, i * n, power)
            vstore(work, chunk * n, total)
        total = vload(work, 0, n)
        for chunk in range(1, CHUNKS):
            total = total + vload(work, chunk * n, n)
        vstore(work, sums, total)
        for lane in range(n):
            if targets[lane] >= 0:
                loss += np.float64(weights[lane]) * np.log(np.float64(work[CHUNKS + 1, lane]))
                work[CHUNKS + 1, lane] = scale * weights[lane] / work[CHUNKS + 1, lane]
            else:
                work[CHUNKS + 1, lane] = _ZERO
        if gradients:
            for chunk in prange(CHUNKS):
                factor = vload(work, sums, n)
                for i in range(vocabulary * chunk // CHUNKS, vocabulary * (chunk + 1) // CHUNKS):
                    vstore(logits, i * n, vload(logits, i * n, n) * factor)
            for lane in range(n):
                if targets[lane] >= 0:
                    logits[targets[lane], lane] -= scale * weights[lane]
        return loss

    return softmax_cross_entropy_kernel


@jit
def squared_error(outputs, targets, weights, scale, gradients):
    """Return the sum of weight (output - target)^2 / 2 over a panel, as float64.

    Parameters
    ----------
    outputs : ndarray of float32, shape (K, lanes)
        Overwritten with ``weight * scale * (output - target)`` when `gradients` is true.
    targets : ndarray of float32, shape (K, lanes)
        NaN in unused lanes, whose gradient becomes zero.
    weights : ndarray of float32, shape (lanes,)
        How much each lane counts, 1 for once.
    scale : float32
        What the sum is multiplied by for a mean.
    gradients : bool
    """
    loss = 0.0
    for i in range(outputs.shape[0]):
        for lane in range(outputs.shape[1]):
            difference = outputs[i, lane] - targets[i, lane]
            if np.isnan(targets[i, lane]):
                difference = _ZERO
            loss += np.float64(weights[lane]) * (0.5 * np.float64(difference) * np.float64(difference))
            if gradients:
                outputs[i, lane] = scale * weights[lane] * difference
    return loss


@jit
def smoothing_loss(logits, targets, weights, smoothing):
    """Return what label smoothing adds to the cross-entropy of a panel, as float64: over the used lanes the
    sum of weight smoothing (logit of the target - mean of all logits).

    Parameters
    ----------
    logits : ndarray of float32, shape (V, lanes)
    targets : ndarray of int32, shape (lanes,)
        -1 for an unused lane.
    weights : ndarray of float32, shape (lanes,)
    smoothing : float
        What all classes share of a target's probability.
    """
    total = 0.0
    for lane in range(logits.shape[1]):
        if targets[lane] >= 0:
            total += np.float64(weights[lane]) * np.float64(logits[targets[lane], lane])
    every = 0.0
    for i in range(logits.shape[0]):
        for lane in range(logits.shape[1]):
            if targets[lane] >= 0:
                every += np.float64(weights[lane]) * np.float64(logits[i, lane])
    return smoothing * (total - every / logits.shape[0])


@parallel_jit
def smooth_gradients(gradients, first, outputs, targets, weights, share):
    """Add what label smoothing adds to the gradients of outputs: ``weight share (onehot(target) - 1 / V)``.

    Parameters
    ----------
    gradients : ndarray of float32, shape (panels, some outputs, lanes)
        Modified in place.
    first : int
        The first of the outputs.
    outputs : int
        How many there are, V.
    targets : ndarray of int32, shape (panels, lanes)
        -1 for an unused lane.
    weights : ndarray of float32, shape (panels, lanes)
    share : float32
        Smoothing times what the sum of the losses is multiplied by for a mean.
    """
    panels, rows, lanes = gradients.shape
    each = share / np.float32(outputs)
    for i in prange(rows):
        for panel in range(panels):
            for lane in range(lanes):
                target = targets[panel, lane]
                if target >= 0:
                    more = share - each if target == first + i else -each
                    gradients[panel, np.uintp(i), lane] += weights[panel, lane] * more
