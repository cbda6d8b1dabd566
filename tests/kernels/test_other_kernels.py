import numpy as np
import pytest
from oracles import empty_panels, random_grouped, random_panels

from truesparse.kernels.buffers import aligned_copy, aligned_zeros
from truesparse.kernels.embedding import embedding_backward, embedding_forward
from truesparse.kernels.loss import CHUNKS, softmax_cross_entropy
from truesparse.kernels.update import NORM_CHUNKS, sgd, sgd_momentum, squared_norm


@pytest.mark.parametrize("lanes", [4, 80])
@pytest.mark.parametrize("group", [1, 3])
def test_embedding_gathers_rows_and_adds_their_gradient(lanes, group):
    rng = np.random.default_rng(lanes)
    weight, (indptr, indices, data) = random_grouped(30 // group, 11, 0.3, group, (group, 1), rng)
    ids = rng.integers(-1, 30, (3, lanes)).astype(np.int32)  # repeats words, leaves lanes empty
    x = empty_panels(3, 11, lanes)
    embedding_forward(lanes)(x, indptr, indices, data, group, ids)
    dense = np.vstack([weight, np.zeros((1, 11), np.float32)])
    np.testing.assert_array_equal(x, dense[ids].transpose(0, 2, 1))

    dx = random_panels(3, 11, lanes, rng)
    exact = np.zeros((31, 11))
    np.add.at(exact, ids, dx.transpose(0, 2, 1))
    row = np.repeat(np.arange(30 // group), np.diff(indptr))
    places = row[:, None] * group + np.arange(group), indices[:, None]
    grads = []
    for shares in (1, 3):
        grad = aligned_zeros(data.size)
        grad += 1
        embedding_backward(lanes)(grad, indptr, indices, group, ids, dx, shares)
        np.testing.assert_allclose(grad, 1 + exact[places].ravel(), rtol=1e-5, atol=1e-5)
        grads.append(grad)
    np.testing.assert_array_equal(*grads)


@pytest.mark.parametrize("vocabulary", [1, 3, 200])
@pytest.mark.parametrize("shift", [0, 80])
def test_softmax_cross_entropy(vocabulary, shift):
    lanes = 20
    rng = np.random.default_rng(vocabulary)
    logits = aligned_copy((rng.standard_normal((vocabulary, lanes)) * 4 + shift).astype(np.float32))
    targets = rng.integers(0, vocabulary, lanes).astype(np.int32)
    targets[[3, 7]] = -1
    used = targets >= 0
    exact = logits.astype(np.float64)
    exact -= np.log(np.exp(exact - exact.max(axis=0)).sum(axis=0)) + exact.max(axis=0)
    weights = rng.uniform(0, 2, lanes).astype(np.float32)
    loss = -(weights[used] * exact[targets[used], np.flatnonzero(used)]).sum()
    gradient = np.exp(exact)
    gradient[targets[used], np.flatnonzero(used)] -= 1
    gradient *= np.where(used, weights, 0)
    work = aligned_zeros((CHUNKS + 2, lanes))
    kernel = softmax_cross_entropy(lanes)
    before = logits.copy()
    half = np.float32(0.5)
    assert kernel(logits, targets, weights, half, work, False) == pytest.approx(loss, rel=1e-5, abs=1e-6)
    np.testing.assert_array_equal(logits, before)
    assert kernel(logits, targets, weights, half, work, True) == pytest.approx(loss, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(logits, 0.5 * gradient, rtol=2e-5, atol=1e-7)


def test_a_nan_logit_makes_the_loss_nan():
    logits = aligned_zeros((50, 20))
    logits[17, 4] = np.nan
    targets, weights, work = np.zeros(20, np.int32), np.ones(20, np.float32), aligned_zeros((CHUNKS + 2, 20))
    loss = softmax_cross_entropy(20)(logits, targets, weights, np.float32(1), work, True)
    assert np.isnan(loss)


@pytest.mark.parametrize("size", [16, 48, 16 * 3001])
def test_flat_updates(size):
    rng = np.random.default_rng(size)
    values, momentum, grads = (aligned_copy(rng.standard_normal(size).astype(np.float32)) for _ in range(3))
    w, u, g = (array.astype(np.float64) for array in (values, momentum, grads))
    partial = np.zeros(NORM_CHUNKS)
    assert squared_norm(grads, partial) == pytest.approx((g**2).sum(), rel=1e-6)

    plain = aligned_copy(values)
    sgd(plain, grads, np.float32(0.5), np.float32(0.25), np.float32(0.125))
    np.testing.assert_allclose(plain, w - 0.5 * (0.125 * g + 0.25 * w), rtol=1e-5, atol=1e-6)

    sgd_momentum(
        values, momentum, grads, np.float32(0.5), np.float32(0.75), np.float32(0.25), np.float32(0.125)
    )
    u = 0.75 * u + 0.125 * g + 0.25 * w
    np.testing.assert_allclose(momentum, u, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(values, w - 0.5 * u, rtol=1e-5, atol=1e-6)
