"""A mixture of softmaxes fused with its loss.

H inputs, K experts of E latent numbers, V outputs::

    z_k = tanh(W_k x + b_k),  pi = softmax(P x)
    p = sum_k pi_k softmax(W z_k + b)

In training with dropout, z_k is multiplied by a mask that a sequence has for a whole window; the prior's x is
not.

W_1 ... W_K are stacked in `latent` `[K E, H]`, and W is `weight` `[V, E]` or the embedding.

Panels of latent numbers are those of a head with one softmax: panel ``p K + k`` is expert k of panel p. Their
scores are computed twice, a few panels at a time, so that those of a window never exist as a whole: the first
time for what each softmax says of the target, and how much of the mixture's gradient it gets follows; the
second time for the gradients.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.activation import activation_backward, activation_forward
from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.dense import softmax_rows
from truesparse.kernels.loss import softmax_cross_entropy
from truesparse.kernels.sddmm import row_sums
from truesparse.kernels.threads import thread_count
from truesparse.layers.chain import Place
from truesparse.layers.dropout.layer import NO_MASK, apply_mask
from truesparse.layers.layer import GradientRows, gradient_product
from truesparse.layers.mos.kernels import keep_softmax, mix_softmaxes
from truesparse.layers.mos.spec import MixtureOfSoftmaxes
from truesparse.layers.output.layer import SoftmaxLayer, SoftmaxWorkspace
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels
from truesparse.sparse.products import add_gradient, multiply, multiply_transposed

Array = NDArray[np.float32]


class MixtureWorkspace(SoftmaxWorkspace):
    """See `SoftmaxWorkspace`; for P panels, those that the steps take being the first ones.

    Attributes
    ----------
    latents, dlatents, dz : ndarray of float32, shape (P, K E, lanes)
        Latent numbers; a copy, then the gradients of what the tanh was taken of; gradients of latent numbers.
    prior : ndarray of float32, shape (P, K, lanes)
        Scores of the experts, then their gradients.
    normaliser : ndarray of float32, shape (P K, 2, lanes)
    said, shares : ndarray of float32, shape (P K, lanes)
        What each expert says of the target, and how much of the gradient it gets; see `mix_softmaxes`.
    own : ndarray of float64, shape (K,)
        Working space of `mix_softmaxes`.
    targets : ndarray of int32, shape (P K, lanes)
        The targets, once for each expert.
    once : ndarray of float32, shape (lanes,)
    dx : ndarray of float32, shape (P, H, lanes)
        What the prior adds to the gradient of the inputs.
    mask : Mask
        Of the latent numbers.
    panels : Panels
    """

    __slots__ = (
        *("latents", "dlatents", "dz", "prior", "said", "shares", "own", "targets", "once", "dx"),
        *("mask", "panels"),
    )

    def __init__(
        self, panels: Panels, outputs: int, weights: int, experts: int, latents: int, inputs: int
    ) -> None:
        super().__init__(panels, outputs, weights, experts)
        self.latents, self.dlatents, self.dz = (panels.zeros(latents) for _ in range(3))
        self.prior = panels.zeros(experts)
        self.dx: Array = panels.zeros(inputs)
        every = experts * panels.panels, panels.lanes
        self.said, self.shares = aligned_zeros(every), aligned_zeros(every)
        self.own = np.zeros(experts)
        self.targets = aligned_zeros(every, np.int32)
        self.once = aligned_zeros(panels.lanes)
        self.once.fill(1)
        self.mask = NO_MASK
        self.panels = panels


class MixtureOfSoftmaxesLayer(SoftmaxLayer):
    """See `SoftmaxLayer`.

    References
    ----------
    Yang, Dai, Salakhutdinov & Cohen, "Breaking the softmax bottleneck: a high-rank RNN language model", 2018.
    """

    __slots__ = ("latent", "prior", "experts", "_bias_latent", "_no_bias", "_rate")

    WORKSPACE: ClassVar[type[MixtureWorkspace]] = MixtureWorkspace

    def __init__(self, place: Place, arena: Arena, matrix: str) -> None:
        super().__init__(place, arena, matrix)
        assert isinstance(place.spec, MixtureOfSoftmaxes)
        self.experts = place.spec.experts
        self._rate = place.spec.dropout_latent
        self.latent = arena.matrices[f"{place.name}.latent"]
        self.prior = arena.as_matrix(f"{place.name}.prior", (self.experts, place.given.size))
        self._bias_latent = f"{place.name}.bias_latent"
        self._no_bias = aligned_zeros(self.experts)

    @property
    def rate(self) -> float:
        """See `HeadLayer.rate`; of the latent numbers."""
        return self._rate

    def workspace(self, panels: Panels) -> MixtureWorkspace:
        """Scores of a few panels, and ``P (12 K E + 4 H)`` bytes and little more, P being the columns."""
        weights = self.weight.nnz if self._per_step else 0
        latents, inputs = self.latent.shape
        return MixtureWorkspace(panels, self.outputs, weights, self.experts, latents, inputs)

    def loss(self, x: Array, targets: NDArray[Any], ws: Any) -> float:
        """See `HeadLayer.loss`."""
        self._run(x, targets, ws)
        return self._mix(x, targets, 1.0, ws, False)

    def loss_and_gradients(self, dx: Array, x: Array, targets: NDArray[Any], scale: float, ws: Any) -> float:
        """See `HeadLayer.loss_and_gradients`."""
        lanes, threads, grads, used = x.shape[2], thread_count(), self.arena.bias_grads, len(x)
        self._run(x, targets, ws)
        loss = self._mix(x, targets, scale, ws, True)
        ws.scale = scale
        z, dz = self._by_expert(ws.latents[:used]), self._by_expert(ws.dz[:used])
        for part in ws.parts(len(z)):
            gradient = self._experts_scores(z[part], ws)
            self._gradients(gradient, 0, ws.targets[part], ws, part)
            multiply_transposed(dz[part], self.weight, gradient)
            add_gradient(self.weight, gradient, z[part])
            row_sums(lanes)(grads[self._bias], gradient, threads)
        dlatents, dprior = ws.dlatents[:used], ws.prior[:used]
        apply_mask(ws.dz[:used], ws.mask, ws.panels)
        activation_backward("tanh", lanes)(dlatents, ws.dz[:used])
        multiply_transposed(dx, self.latent, dlatents)
        multiply_transposed(ws.dx[:used], self.prior, dprior)
        dx += ws.dx[:used]
        add_gradient(self.latent, dlatents, x)
        add_gradient(self.prior, dprior, x)
        row_sums(lanes)(grads[self._bias_latent], dlatents, threads)
        return loss

    def gradient_rows(self, x: Array, targets: NDArray[Any], ws: Any) -> dict[str, GradientRows]:
        """See `HeadLayer.gradient_rows`."""
        product = gradient_product(ws.dlatents[: len(x)], x)
        return {**super().gradient_rows(x, targets, ws), self.latent.name: product}

    def write_gradient(self, out: Array, first: int, x: Array, targets: NDArray[Any], ws: Any) -> None:
        """See `HeadLayer.write_gradient`."""
        z = self._by_expert(ws.latents[: len(x)])
        super().write_gradient(out, first, z, ws.targets[: len(z)], ws)

    def _gradients(
        self, scores: Array, first: int, targets: NDArray[Any], ws: Any, part: slice = slice(None)
    ) -> None:
        """See `HeadLayer._gradients`; of panels of latent numbers."""
        used = slice(part.start, part.stop) if part.stop else slice(len(scores))
        kernel = softmax_rows(scores.shape[2])
        kernel(scores, first, targets, ws.shares[used], ws.normaliser[used], np.float32(ws.scale))

    def _by_expert(self, panels: Array) -> Array:
        """Panels of all latent numbers, (P, K E, lanes), as those of each expert, (P K, E, lanes)."""
        return panels.reshape(len(panels) * self.experts, -1, panels.shape[2])

    def _experts_scores(self, z: Array, ws: Any) -> Array:
        """The scores of some panels of latent numbers."""
        return super()._scores(z, ws)

    def _run(self, x: Array, targets: NDArray[Any], ws: Any) -> None:
        """Compute latent numbers, the prior's scores, and each expert's scores of its targets."""
        used = len(x)
        latents = ws.latents[:used]
        multiply(latents, self.latent, x, self.arena.biases[self._bias_latent])
        activation_forward("tanh", x.shape[2])(latents, ws.dlatents[:used])
        apply_mask(latents, ws.mask, ws.panels)
        multiply(ws.prior[:used], self.prior, x, self._no_bias)
        ws.targets[: used * self.experts] = np.repeat(targets[:used], self.experts, axis=0)
        z = self._by_expert(latents)
        for part in ws.parts(len(z)):
            for number, scores in enumerate(self._experts_scores(z[part], ws), part.start):
                self._keep(scores, number, ws)

    def _keep(self, scores: Array, number: int, ws: Any) -> None:
        """Keep what is needed of the scores of a panel of latent numbers."""
        own = ws.targets[number]
        softmax_cross_entropy(len(own))(scores, own, ws.once, np.float32(1), ws.work, False)
        keep_softmax(ws.normaliser[number], ws.said[number], scores, own, ws.work)

    def _mix(self, x: Array, targets: NDArray[Any], scale: float, ws: Any, gradients: bool) -> float:
        """See `mix_softmaxes`."""
        used, lanes = len(x), x.shape[2]
        every = used * self.experts
        normaliser = ws.normaliser[:every].reshape(used, self.experts, 2, lanes)
        said, shares = (array[:every].reshape(used, self.experts, lanes) for array in (ws.said, ws.shares))
        prior, weights = ws.prior[:used], ws.weights[:used]
        loss = mix_softmaxes(prior, normaliser, said, shares, ws.own, targets, weights, scale, gradients)
        return float(loss)

    def _scores(self, x: Array, ws: Any) -> Array:
        """Log-probabilities of all outputs, of a part of the panels `x`: shape (p, V, lanes)."""
        lanes = x.shape[2]
        said = np.zeros((len(x), self.outputs, lanes), np.float32)
        self._run(x, np.zeros((len(x), lanes), np.int32), ws)
        prior = ws.prior[: len(x)]
        prior = np.exp(prior - prior.max(axis=1, keepdims=True))
        prior /= prior.sum(axis=1, keepdims=True)
        for number, z in enumerate(self._by_expert(ws.latents[: len(x)])):
            panel, expert = divmod(number, self.experts)
            scores = self._experts_scores(z[None], ws)[0]
            highest, factor = ws.normaliser[number]
            said[panel] += np.exp(scores - highest) * (factor * prior[panel, expert])
        with np.errstate(divide="ignore"):  # of a probability that rounds to 0
            return np.log(said, out=said)
