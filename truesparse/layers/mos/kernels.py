"""Losses and gradients of a mixture of softmaxes, given what each of them says of the targets."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import jit

_ZERO = np.float32(0)


@jit
def keep_softmax(normaliser, said, scores, targets, work):
    """Keep of the scores of a panel what their softmax can be had of again.

    Parameters
    ----------
    normaliser : ndarray of float32, shape (2, lanes)
        Receives the highest score of each lane, and 1 / the sum of ``exp(score - highest)``, 0 without a
        target.
    said : ndarray of float32, shape (lanes,)
        Receives the target's score less the highest one, 0 without a target.
    scores : ndarray of float32, shape (V, lanes)
    targets : ndarray of int32, shape (lanes,)
        -1 for an unused lane.
    work : ndarray of float32, shape (2 or more, lanes)
        The last two rows are as `truesparse.kernels.loss.softmax_cross_entropy` has left them.
    """
    for lane in range(targets.shape[0]):
        highest = work[-2, lane]
        normaliser[0, lane] = highest
        normaliser[1, lane] = work[-1, lane]
        said[lane] = scores[targets[lane], lane] - highest if targets[lane] >= 0 else _ZERO


@jit
def mix_softmaxes(prior, normaliser, said, shares, own, targets, weights, scale, gradients):
    """Return the sum over the used lanes of -weight log sum_k pi_k p_k(target), in nats, as float64.

    With ``gamma_k = pi_k p_k / sum_k pi_k p_k``, the gradient by the scores of expert k is that of its own
    cross-entropy times gamma_k, and that by the prior's scores is ``pi_k - gamma_k``.

    Parameters
    ----------
    prior : ndarray of float32, shape (panels, K, lanes)
        Scores whose softmax is pi; with `gradients` replaced by their gradients, times `scale`.
    normaliser : ndarray of float32, shape (panels, K, 2, lanes)
        Made by `keep_softmax`; with `gradients` the second row is multiplied by weight, scale and gamma_k, as
        `truesparse.kernels.dense.softmax_rows` takes it.
    said : ndarray of float32, shape (panels, K, lanes)
        Made by `keep_softmax`.
    shares : ndarray of float32, shape (panels, K, lanes)
        Receives weight times gamma_k, 0 in unused lanes.
    own : ndarray of float64, shape (K,)
        Working space.
    targets : ndarray of int32, shape (panels, lanes)
    weights : ndarray of float32, shape (panels, lanes)
    scale : float
    gradients : bool

    References
    ----------
    Yang, Dai, Salakhutdinov & Cohen, "Breaking the softmax bottleneck", 2018, equation 4.
    """
    panels, experts, lanes = prior.shape
    loss = 0.0
    for panel in range(panels):
        for lane in range(lanes):
            if targets[panel, lane] < 0:
                if gradients:
                    for k in range(experts):
                        prior[panel, k, lane] = _ZERO
                        shares[panel, k, lane] = _ZERO
                continue
            highest = np.float64(prior[panel, 0, lane])
            for k in range(1, experts):
                highest = max(highest, np.float64(prior[panel, k, lane]))
            total = 0.0
            for k in range(experts):
                total += np.exp(np.float64(prior[panel, k, lane]) - highest)
            lowest = highest + np.log(total)  # of the prior's softmax: the logarithm of what it divides by
            best = -np.inf
            for k in range(experts):
                one = np.float64(said[panel, k, lane]) + np.log(np.float64(normaliser[panel, k, 1, lane]))
                own[k] = one + np.float64(prior[panel, k, lane]) - lowest
                best = max(best, own[k])
            total = 0.0
            for k in range(experts):
                total += np.exp(own[k] - best)
            of_all = best + np.log(total)
            weight = np.float64(weights[panel, lane])
            loss -= weight * of_all
            if gradients:
                for k in range(experts):
                    share = np.exp(own[k] - of_all)
                    pi = np.exp(np.float64(prior[panel, k, lane]) - lowest)
                    prior[panel, k, lane] = scale * weight * (pi - share)
                    shares[panel, k, lane] = weight * share
                    normaliser[panel, k, 1, lane] *= np.float32(scale * weight * share)
    return loss
