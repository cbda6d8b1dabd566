"""Plain NumPy float64 versions of what the kernels and the model compute, and random sparse matrices for
tests."""

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


def lstm_window(x, h, c, w_ih, w_hh, bias):
    """Outputs, last h and c of an LSTM layer; x of shape (T, D, B), h and c (H, B), all float64."""
    outputs = []
    for x_t in x:
        i, f, g, o = np.split(w_ih @ x_t + w_hh @ h + bias[:, None], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs), h, c


def cumax(scores):
    """Running sums of the softmax over the first axis."""
    powers = np.exp(scores - scores.max(axis=0))
    return np.cumsum(powers / powers.sum(axis=0), axis=0)


def on_lstm_window(x, h, c, w, m, bias, bias_master):
    """Outputs, last h and c of an LSTM with ordered neurons; `w` and `m` are the matrices for inputs and
    state, of the gates and of the master gates."""
    outputs = []
    chunk = 2 * len(h) // len(bias_master)
    for x_t in x:
        i, f, g, o = np.split(w[0] @ x_t + w[1] @ h + bias[:, None], 4)
        forget, add = np.split(m[0] @ x_t + m[1] @ h + bias_master[:, None], 2)
        forget, add = np.repeat(cumax(forget), chunk, axis=0), np.repeat(1 - cumax(add), chunk, axis=0)
        both = forget * add
        c = (sigmoid(f) * both + forget - both) * c + (sigmoid(i) * both + add - both) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs), h, c


def rhn_window(x, s, w_ih, weights_hh, biases, mask=1.0):
    """Outputs and last state of a recurrent highway layer; `mask` is that of the state in the products."""
    outputs = []
    for x_t in x:
        from_input = w_ih @ x_t
        for w_hh, bias in zip(weights_hh, biases, strict=True):
            h, t = np.split(from_input + w_hh @ (mask * s) + bias[:, None], 2)
            s = np.tanh(h) * sigmoid(t) + s * (1 - sigmoid(t))
            from_input = 0.0
        outputs.append(s)
    return np.stack(outputs), s


def gru_window(x, h, w_ih, w_hh, bias, bias_hn=None):
    """Outputs and last state of gated recurrent units; without `bias_hn` the reset gate comes before the
    product."""
    outputs = []
    w_rz, w_n = w_hh[: 2 * len(h)], w_hh[2 * len(h) :]
    for x_t in x:
        r_in, z_in, n_in = np.split(w_ih @ x_t + bias[:, None], 3)
        r_h, z_h = np.split(w_rz @ h, 2)
        r, z = sigmoid(r_in + r_h), sigmoid(z_in + z_h)
        n = np.tanh(n_in + (w_n @ (r * h) if bias_hn is None else r * (w_n @ h + bias_hn[:, None])))
        h = (1 - z) * n + z * h
        outputs.append(h)
    return np.stack(outputs), h


def run_layer(parameters, place, x, state):
    """Outputs of a recurrent layer and its new state by name, in float64."""
    name = place.name
    if place.spec.TYPE == "bidirectional":
        forward, backward = place.directions
        zeros = [
            {n: np.zeros((size, x.shape[-1])) for n, size in own.state.items()} for own in (forward, backward)
        ]
        one, _ = run_layer(parameters, forward, x, zeros[0])
        other, _ = run_layer(parameters, backward, x[::-1], zeros[1])
        return np.concatenate((one, other[::-1]), axis=1), {}
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
        return x + own["weight"].reshape(spec.longest, -1)[: len(x), :, None]
    if spec.TYPE == "layer-norm":
        normal = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + spec.epsilon)
        return own["scale"][:, None] * normal + own["bias"][:, None]
    if spec.TYPE == "linear":
        sums = np.einsum("hd,tdb->thb", own["weight"], x) + own["bias"][:, None]
        return np.maximum(sums, 0) if spec.activation == "relu" else sums
    given = np.einsum("hd,tdb->thb", own["weight_in"], x) + own["bias_in"][:, None]
    q, k, v = (part.reshape(len(x), spec.heads, -1, x.shape[2]) for part in np.split(given, 3, axis=1))
    scores = np.einsum("thdb,uhdb->htub", q, k) / np.sqrt(q.shape[2])
    shares = np.exp(scores - scores.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    read = np.einsum("htub,uhdb->thdb", shares, v).reshape(x.shape)
    return np.einsum("hd,tdb->thb", own["weight_out"], read) + own["bias_out"][:, None]


def scores(parameters, chain, inputs, state):
    """What the head says, (steps, outputs, B) or after pooling (1, outputs, B), and the new state, in
    float64; nothing is dropped."""
    x, new_state = inputs, {}
    for place in chain.places[:-1]:
        if place.spec.TYPE == "embedding":
            x = parameters["embedding.weight"][x].transpose(0, 2, 1)
        elif place.spec.TYPE == "standardize":
            x = (x - np.array(place.spec.mean)[:, None]) / np.array(place.spec.scale)[:, None]
        elif place.spec.TYPE == "pool":
            forward = place.given.size - place.given.backward
            last = np.concatenate((x[-1, :forward], x[0, forward:]))
            pooled = {"last": last, "mean": x.mean(axis=0), "max": x.max(axis=0)}
            x = pooled[place.spec.kind][None]
        elif place.spec.TYPE == "linear":
            name, activation = place.name, place.spec.activation
            sums = np.einsum("hd,tdb->thb", parameters[f"{name}.weight"], x)
            sums += parameters[f"{name}.bias"][:, None]
            bends = parameters.get(f"{name}.srelu", np.zeros(4)).reshape(4, -1, 1)
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
        return mixture(parameters, chain.head, weight, x), new_state
    weight = weight.reshape(chain.head.outputs, -1)
    return np.einsum("vh,thb->tvb", weight, x) + parameters["output.bias"][:, None], new_state


def mixture(parameters, head, weight, x):
    """Log-probabilities of a mixture of softmaxes, (steps, outputs, B), of what it reads, (steps, H, B)."""
    experts, size = head.experts, x.shape[1]
    latent = np.einsum("lh,thb->tlb", parameters["output.latent"], x)
    z = np.tanh(latent + parameters["output.bias_latent"][:, None]).reshape(len(x), experts, head.latent, -1)
    scores = np.einsum("ve,tkeb->tkvb", weight, z) + parameters["output.bias"][:, None]
    prior = np.einsum("kh,thb->tkb", parameters["output.prior"].reshape(experts, size), x)[:, :, None]
    return np.log((softmax(prior) * softmax(scores, 2)).sum(axis=1))


def softmax(scores, axis=1):
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def dense_parameters(model):
    """The weights and biases of a model as dense float64 arrays, by name."""
    parameters = {
        name: matrix.to_scipy().toarray().astype(np.float64) for name, matrix in model.matrices.items()
    }
    return parameters | {name: bias.astype(np.float64) for name, bias in model.arena.biases.items()}


def cross_entropies(logits, targets):
    """Minus the log-probabilities of targets; classes are the second axis of the logits."""
    logits = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -np.take_along_axis(log_probabilities, targets[:, None].astype(int), axis=1)


def language_model_loss(parameters, chain, ids, targets, state):
    """Mean cross-entropy per token and the new state of a chain that reads all steps, in float64."""
    logits, new_state = scores(parameters, chain, ids, state)
    return cross_entropies(logits, targets).mean(), new_state


def sequence_model_loss(parameters, chain, inputs, lengths, targets):
    """Mean loss of a model of sequences, in float64; each sequence is run by itself, cut to its length. There
    is a target for each sequence, or for each of its steps. Numbers are in the units of the head's scale."""
    head = chain.head
    if "softmax" not in head.TYPE and head.mean:
        targets = (targets - np.array(head.mean)[:, None]) / np.array(head.scale)[:, None]
    zeros = {part: np.zeros((size, 1)) for place in chain.places for part, size in place.state.items()}
    losses = []
    for b, length in enumerate(lengths):
        if length == 0:
            continue
        outputs, _ = scores(parameters, chain, inputs[:length, ..., b : b + 1], zeros)
        if "softmax" in chain.head.TYPE:
            own = targets[:length, b : b + 1] if chain.per_step else targets[None, b : b + 1]
            losses.extend(cross_entropies(outputs, np.maximum(own, 0))[own[:, None] >= 0])
        else:
            own = targets[:length, :, b] if chain.per_step else targets[None, :, b]
            losses.extend(((outputs[:, :, 0] - own) ** 2).sum(axis=1) / 2)
    return np.mean(losses)


def central_differences(loss, parameters, name, places, step=1e-5):
    """Derivatives of `loss(parameters)` by the entries `places` (a tuple of index arrays) of one
    parameter."""
    parameter = parameters[name]
    derivatives = []
    for place in zip(*places, strict=True):
        kept = parameter[place]
        parameter[place] = kept + step
        above = loss(parameters)
        parameter[place] = kept - step
        below = loss(parameters)
        parameter[place] = kept
        derivatives.append((above - below) / (2 * step))
    return np.array(derivatives)


def loss_of_stream(model: runtime.LanguageModel, ids: NDArray[np.int32]) -> float:
    """Mean of -log p of each token but the first, given all before it, one after another in the runtime."""
    stream = model.stream()
    losses = [-float(stream.step(token)[target]) for token, target in pairwise(ids)]
    return sum(losses) / len(losses)
