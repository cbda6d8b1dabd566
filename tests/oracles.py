"""Plain NumPy float64 versions of what the kernels and the model compute, and random sparse matrices for
tests.

Parameters may have a first axis more: of models that are computed side by side.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st
from numpy.typing import NDArray

from truesparse import runtime
from truesparse.kernels.buffers import aligned_copy, aligned_zeros


@st.composite
def sparse_matrices(draw, max_rows=40, max_columns=40):
    """CSR matrices of float32 with empty rows, empty columns, no entry at all, or every entry."""
    rows, columns = draw(st.integers(1, max_rows)), draw(st.integers(1, max_columns))
    density = draw(st.sampled_from([0.0, 0.05, 0.3, 1.0]))
    seed = draw(st.integers(0, 2**32 - 1))
    return random_csr(rows, columns, density, np.random.default_rng(seed))


def random_csr(rows, columns, density, rng):
    """A CSR matrix of standard normal float32 values; some rows are emptied unless it is dense."""
    matrix = sp.random_array((rows, columns), density=density, rng=rng, dtype=np.float32).tocsr()
    matrix.data[:] = rng.standard_normal(matrix.nnz)
    if density < 1 and rows > 3:
        matrix = sp.csr_array(sp.diags_array(rng.random(rows) < 0.8, dtype=np.float32) @ matrix)
        matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def csr_arrays(matrix):
    """indptr, indices and data in the types that kernels take."""
    return (
        matrix.indptr.astype(np.int64),
        aligned_copy(matrix.indices.astype(np.uint16)),
        aligned_copy(matrix.data.astype(np.float32)),
    )


def random_grouped(groups, columns, density, group, steps, rng):
    """A matrix whose rows share positions in groups: dense, and as indptr, indices and grouped data.

    Row m of group i is row i * steps[0] + m * steps[1].
    """
    indptr, indices, _ = csr_arrays(random_csr(groups, columns, density, rng))
    data = aligned_copy(rng.standard_normal(indices.size * group).astype(np.float32))
    dense = np.zeros((groups * group, columns), np.float32)
    first = np.repeat(np.arange(groups), np.diff(indptr)) * steps[0]
    dense[first[:, None] + np.arange(group) * steps[1], indices[:, None]] = data.reshape(-1, group)
    return dense, (indptr, indices, data)


def random_panels(panels, features, lanes, rng):
    """Aligned standard normal float32 of shape (panels, features, lanes)."""
    return aligned_copy(rng.standard_normal((panels, features, lanes)).astype(np.float32))


def empty_panels(panels, features, lanes):
    """Aligned float32 of shape (panels, features, lanes), full of a number that a kernel has to overwrite."""
    array = aligned_zeros((panels, features, lanes))
    array.fill(np.float32(77))
    return array


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def steps(x):
    """What there is at each step of `x`, of shape (T, D, B)."""
    return np.moveaxis(x, -3, 0)


def lstm_window(x, h, c, w_ih, w_hh, bias):
    """Outputs, last h and c of an LSTM layer; x of shape (T, D, B), h and c (H, B), all float64."""
    outputs = []
    for x_t in steps(x):
        i, f, g, o = np.split(w_ih @ x_t + w_hh @ h + bias[..., None], 4, axis=-2)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, axis=-3), h, c


def cumax(scores, axis=0):
    """Running sums of the softmax."""
    return np.cumsum(softmax(scores, axis), axis=axis)


def on_lstm_window(x, h, c, w, m, bias, bias_master):
    """Outputs, last h and c of an LSTM with ordered neurons; `w` and `m` are the matrices for inputs and
    state, of the gates and of the master gates."""
    outputs = []
    chunk = 2 * h.shape[-2] // bias_master.shape[-1]
    for x_t in steps(x):
        i, f, g, o = np.split(w[0] @ x_t + w[1] @ h + bias[..., None], 4, axis=-2)
        levels = np.split(m[0] @ x_t + m[1] @ h + bias_master[..., None], 2, axis=-2)
        forget, add = (np.repeat(cumax(level, -2), chunk, axis=-2) for level in levels)
        add = 1 - add
        both = forget * add
        c = (sigmoid(f) * both + forget - both) * c + (sigmoid(i) * both + add - both) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, axis=-3), h, c


def rhn_window(x, s, w_ih, weights_hh, biases, mask=1.0):
    """Outputs and last state of a recurrent highway layer; `mask` is that of the state in the products."""
    outputs = []
    for x_t in steps(x):
        from_input = w_ih @ x_t
        for w_hh, bias in zip(weights_hh, biases, strict=True):
            h, t = np.split(from_input + w_hh @ (mask * s) + bias[..., None], 2, axis=-2)
            carry = 1 - (t := sigmoid(t))
            s = np.tanh(h) * t + s * carry
            from_input = 0.0
        outputs.append(s)
    return np.stack(outputs, axis=-3), s


def gru_window(x, h, w_ih, w_hh, bias, bias_hn=None):
    """Outputs and last state of gated recurrent units; without `bias_hn` the reset gate comes before the
    product."""
    outputs = []
    w_rz, w_n = np.split(w_hh, [2 * h.shape[-2]], axis=-2)
    for x_t in steps(x):
        r_in, z_in, n_in = np.split(w_ih @ x_t + bias[..., None], 3, axis=-2)
        r_h, z_h = np.split(w_rz @ h, 2, axis=-2)
        r, z = sigmoid(r_in + r_h), sigmoid(z_in + z_h)
        n = np.tanh(n_in + (w_n @ (r * h) if bias_hn is None else r * (w_n @ h + bias_hn[..., None])))
        h = (1 - z) * n + z * h
        outputs.append(h)
    return np.stack(outputs, axis=-3), h


def run_layer(parameters, place, x, state):
    """Outputs of a recurrent layer and its new state by name, in float64."""
    name = place.name
    if place.spec.TYPE == "bidirectional":
        forward, backward = place.directions
        zeros = [
            {n: np.zeros((size, x.shape[-1])) for n, size in own.state.items()} for own in (forward, backward)
        ]
        one, _ = run_layer(parameters, forward, x, zeros[0])
        other, _ = run_layer(parameters, backward, x[..., ::-1, :, :], zeros[1])
        return np.concatenate(np.broadcast_arrays(one, other[..., ::-1, :, :]), axis=-2), {}
    state = {part: state[part].astype(np.float64) for part in place.state}
    w_ih = parameters[f"{name}.weight_ih"]
    if place.spec.TYPE == "rhn":
        weights = [parameters[f"{name}.weight_hh.{level}"] for level in range(place.spec.depth)]
        biases = [parameters[f"{name}.bias.{level}"] for level in range(place.spec.depth)]
        y, h = rhn_window(x, state[f"{name}.h"], w_ih, weights, biases)
        return y, {f"{name}.h": h}
    w_hh, bias = parameters[f"{name}.weight_hh"], parameters[f"{name}.bias"]
    if place.spec.TYPE == "gru":
        y, h = gru_window(x, state[f"{name}.h"], w_ih, w_hh, bias, parameters.get(f"{name}.bias_hn"))
        return y, {f"{name}.h": h}
    h, c = state[f"{name}.h"], state[f"{name}.c"]
    if place.spec.TYPE == "on-lstm":
        masters = parameters[f"{name}.master_ih"], parameters[f"{name}.master_hh"]
        y, h, c = on_lstm_window(x, h, c, (w_ih, w_hh), masters, bias, parameters[f"{name}.bias_master"])
    else:
        y, h, c = lstm_window(x, h, c, w_ih, w_hh, bias)
    return y, {f"{name}.h": h, f"{name}.c": c}


def srelu(x, t_left, a_left, t_right, a_right):
    """Jin et al. 2016, equation 1; where the bends lie the wrong way round, the right one counts."""
    left = np.where(x < t_left, t_left + a_left * (x - t_left), x)
    return np.where(x >= t_right, t_right + a_right * (x - t_right), left)


def run_encoder(parameters, place, x):
    """Outputs of what an encoder consists of, x of shape (T, D, B), in float64."""
    spec, name = place.spec, place.name
    own = {key.removeprefix(f"{name}."): value for key, value in parameters.items() if key.startswith(name)}
    if spec.TYPE == "residual":
        y = x
        for inner in place.inner:
            y = run_encoder(parameters, inner, y)
        return x + y
    if spec.TYPE == "positions":
        return x + cut(own["weight"], spec.longest, x.shape[-2], 1)[..., : x.shape[-3], :, :]
    if spec.TYPE == "layer-norm":
        normal = (x - x.mean(axis=-2, keepdims=True)) / np.sqrt(x.var(axis=-2, keepdims=True) + spec.epsilon)
        return cut(own["scale"], 1, -1, 1) * normal + cut(own["bias"], 1, -1, 1)
    if spec.TYPE == "linear":
        sums = linear(own["weight"], x, own["bias"])
        return np.maximum(sums, 0) if spec.activation == "relu" else sums
    given = linear(own["weight_in"], x, own["bias_in"])
    q, k, v = (
        part.reshape(*part.shape[:-2], spec.heads, -1, part.shape[-1]) for part in np.split(given, 3, axis=-2)
    )
    shares = softmax(np.einsum("...thdb,...uhdb->...htub", q, k) / np.sqrt(q.shape[-2]), -2)
    read = np.einsum("...htub,...uhdb->...thdb", shares, v).reshape(*given.shape[:-2], *x.shape[-2:])
    return linear(own["weight_out"], read, own["bias_out"])


def cut(vector, *shape):
    """A vector of a model as an array of this shape, or one such array for each of several models."""
    return vector.reshape(*vector.shape[:-1], *shape)


def linear(weight, x, bias):
    """The sums of a linear layer at all steps."""
    return weight[..., None, :, :] @ x + cut(bias, 1, -1, 1)


def scores(parameters, chain, inputs, state, kept=1.0):
    """What the head says, (steps, outputs, B) or after pooling (1, outputs, B), and the new state, in
    float64; nothing is dropped, except that `kept` multiplies the latent numbers of a mixture, (K E, B)."""
    x, new_state = inputs, {}
    for place in chain.places[:-1]:
        if place.spec.TYPE == "embedding":
            x = parameters["embedding.weight"][..., x, :].swapaxes(-1, -2)
        elif place.spec.TYPE == "standardize":
            x = (x - np.array(place.spec.mean)[:, None]) / np.array(place.spec.scale)[:, None]
        elif place.spec.TYPE == "pool":
            forward = place.given.size - place.given.backward
            last = np.concatenate((x[..., -1:, :forward, :], x[..., :1, forward:, :]), axis=-2)
            means, highest = (over(axis=-3, keepdims=True) for over in (x.mean, x.max))
            x = {"last": last, "mean": means, "max": highest}[place.spec.kind]
        elif place.spec.TYPE == "linear":
            name, activation = place.name, place.spec.activation
            sums = linear(parameters[f"{name}.weight"], x, parameters[f"{name}.bias"])
            bends = np.split(cut(parameters.get(f"{name}.srelu", np.zeros(4)), 1, -1, 1), 4, axis=-2)
            x = {
                "none": sums,
                "relu": np.maximum(sums, 0),
                "tanh": np.tanh(sums),
                "selu": 1.0507009873554805 * np.where(sums > 0, sums, 1.6732632423543772 * np.expm1(sums)),
                "srelu": srelu(sums, *bends),
            }[activation]
        elif place.spec.TYPE in ("positions", "layer-norm", "residual"):
            x = run_encoder(parameters, place, x)
        elif "dropout" not in place.spec.TYPE:
            x, after = run_layer(parameters, place, x, state)
            new_state |= after
    weight = parameters["embedding.weight" if chain.head.tied else "output.weight"]
    if chain.head.TYPE == "mos":
        return mixture(parameters, chain.head, weight, x, kept), new_state
    if not chain.head.sparse and not chain.head.tied:
        weight = cut(weight, chain.head.outputs, -1)
    return linear(weight, x, parameters["output.bias"]), new_state


def mixture(parameters, head, weight, x, kept):
    """Log-probabilities of a mixture of softmaxes, (steps, outputs, B), of what it reads, (steps, H, B)."""
    experts = head.experts
    z = np.tanh(linear(parameters["output.latent"], x, parameters["output.bias_latent"])) * kept
    z = z.reshape(*z.shape[:-2], experts, head.latent, -1)
    scores = weight[..., None, None, :, :] @ z + cut(parameters["output.bias"], 1, 1, -1, 1)
    prior = linear(cut(parameters["output.prior"], experts, -1), x, np.zeros(experts))[..., None, :]
    return np.log((softmax(prior, -3) * softmax(scores, -2)).sum(axis=-3))


def softmax(scores, axis):
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def dense_parameters(model):
    """The weights and biases of a model as dense float64 arrays, by name."""
    parameters = {
        name: matrix.to_scipy().toarray().astype(np.float64) for name, matrix in model.matrices.items()
    }
    return parameters | {name: bias.astype(np.float64) for name, bias in model.arena.biases.items()}


def cross_entropies(logits, targets):
    """Minus the log-probabilities of targets; classes are the last axis of the logits but one."""
    logits = logits - logits.max(axis=-2, keepdims=True)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=-2, keepdims=True))
    places = np.broadcast_to(targets[:, None].astype(int), (*logits.shape[:-2], 1, logits.shape[-1]))
    return -np.take_along_axis(log_probabilities, places, axis=-2)


def language_model_loss(parameters, chain, ids, targets, state, kept=1.0):
    """Mean cross-entropy per token and the new state of a chain that reads all steps, in float64; see
    `scores`."""
    logits, new_state = scores(parameters, chain, ids, state, kept)
    return cross_entropies(logits, targets).mean(axis=(-3, -2, -1)), new_state


def sequence_model_loss(parameters, chain, inputs, lengths, targets):
    """Mean loss of a model of sequences, in float64; sequences of one length are run together, cut to it.
    There is a target for each sequence, or for each of its steps. Numbers are in the units of the head's
    scale."""
    head, lengths = chain.head, np.asarray(lengths)
    if "softmax" not in head.TYPE and head.mean:
        targets = (targets - np.array(head.mean)[:, None]) / np.array(head.scale)[:, None]
    losses = []
    for length in np.unique(lengths[lengths > 0]):
        of_it = np.flatnonzero(lengths == length)
        sizes = [part for place in chain.places for part in place.state.items()]
        zeros = {part: np.zeros((size, of_it.size)) for part, size in sizes}
        outputs, _ = scores(parameters, chain, inputs[:length, ..., of_it], zeros)
        own = targets[:length, ..., of_it] if chain.per_step else targets[None, ..., of_it]
        if "softmax" in head.TYPE:
            losses.append(cross_entropies(outputs, np.maximum(own, 0))[..., own[:, None] >= 0])
        else:
            squares = ((outputs - own) ** 2).sum(axis=-2) / 2
            losses.append(squares.reshape(*squares.shape[:-2], -1))
    return np.concatenate(losses, axis=-1).mean(axis=-1)


def central_differences(loss, parameters, name, places, step=1e-5, together=64):
    """Derivatives of `loss(parameters)` by the entries `places` (a tuple of index arrays) of one parameter;
    `together` of them are computed side by side."""
    parameter, places = parameters[name], np.array(places)
    derivatives = []
    for first in range(0, places.shape[1], together):
        some = places[:, first : first + together]
        above, below = (np.repeat(parameter[None], some.shape[1], axis=0) for _ in range(2))
        above[np.arange(some.shape[1]), *some] += step
        below[np.arange(some.shape[1]), *some] -= step
        losses = [loss({**parameters, name: changed}) for changed in (above, below)]
        derivatives.append((losses[0] - losses[1]) / (2 * step))
    return np.concatenate(derivatives) if derivatives else np.zeros(0)


def loss_of_stream(model: runtime.LanguageModel, ids: NDArray[np.int32]) -> float:
    """Mean of -log p of each token but the first, given all before it, one after another in the runtime."""
    stream = model.stream()
    losses = [-float(stream.step(token)[target]) for token, target in pairwise(ids)]
    return sum(losses) / len(losses)
