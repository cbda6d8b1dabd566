"""A model: a chain of layers and their numbers, and how they are run, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import SeriesEncoder, TextEncoder, TokenEncoder, Vocabulary
from truesparse.errors import UsageError
from truesparse.files import path_of
from truesparse.layers.chain import ChainSpec
from truesparse.layers.dropout.layer import NO_MASK, DropoutLayer, Mask, WordDropoutLayer
from truesparse.layers.layer import GradientRows, Layer, computing
from truesparse.model.dropconnect import dropped_weights
from truesparse.model.saving import check_reading, save_model
from truesparse.model.workspace import State, Workspace
from truesparse.modelfile import Encoder
from truesparse.settings import check_kind
from truesparse.sparse import Arena, SparseMatrix

_WHOLE = nullcontext()  # made once: a step allocates nothing


class Model:
    """Layers, a head and their numbers.

    Sequences of different lengths share a batch: each begins at step 0, and steps beyond its length have no
    influence on anything.

    Parameters
    ----------
    chain : ChainSpec
    arena : Arena
        Holds the matrices and vectors that `chain` names.
    vocabulary : Vocabulary, optional
        What its tokens mean.
    encoder : TextEncoder, TokenEncoder or SeriesEncoder, optional
        How a model of whole texts, of sentences or of features reads them.
    labels : sequence of str, optional
        Names of its outputs.

    Attributes
    ----------
    chain, arena, vocabulary, encoder, labels
        As given.
    layers : list of Layer
        All but the head.
    head : HeadLayer

    Examples
    --------
    A training step::

        arena.zero_grad()
        loss = model.loss_and_gradients(ids, targets, workspace, state, rng=rng)

    and then an optimizer on `model.arena`.
    """

    __slots__ = (
        "chain",
        "arena",
        "vocabulary",
        "encoder",
        "labels",
        "layers",
        "head",
        "_keys",
        "_dropped",
        "_first",
        "_final",
    )

    def __init__(
        self,
        chain: ChainSpec,
        arena: Arena,
        vocabulary: Vocabulary | None = None,
        encoder: Encoder = None,
        labels: Sequence[str] = (),
    ) -> None:
        self.chain = chain
        self.arena = arena
        self.vocabulary = vocabulary
        self.encoder = encoder
        self.labels = tuple(labels)
        *places, last = chain.places
        self.layers: list[Layer] = [computing(place.spec)(place, arena) for place in places]
        self.head = computing(last.spec)(last, arena, chain.output_matrix)
        self._keys = sorted(
            (number for number, layer in enumerate(self.layers) if layer.KEYS),
            key=lambda number: self.layers[number].KEYS,
        )
        # Below the first layer with numbers nobody reads a gradient
        learning = (number for number, place in enumerate(places) if place.names)
        self._first = next(learning, 0)
        self._dropped = [(matrix.name, matrix.dropped) for matrix in chain.matrices if matrix.dropped]
        # A tied embedding is final with its own layer, not with the head
        dropped = {name for name, _ in self._dropped}
        self._final = [[name for name in place.names if name not in dropped] for place in chain.places]
        kept = 1.0
        for layer in self.layers:
            if isinstance(layer, WordDropoutLayer):
                kept *= 1 - layer.rate
            elif isinstance(layer, DropoutLayer):
                layer.kept, kept = kept, 1.0

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies and pickles."""
        return type(self), (self.chain, self.arena, self.vocabulary, self.encoder, self.labels)

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.chain.layers))
        return f"<model of {self.arena.nnz:,} weights, density {self.density:.4g}: {layers}>"

    @property
    def matrices(self) -> dict[str, SparseMatrix]:
        """The sparse weight matrices by name."""
        return self.arena.matrices

    @property
    def density(self) -> float:
        """Which fraction of the positions of all sparse matrices holds a weight."""
        return self.arena.nnz / self.chain.dense_parameters

    def save(
        self,
        path: str | Path,
        vocabulary: Vocabulary | Encoder = None,
        labels: Sequence[str] = (),
    ) -> None:
        """Write the model to a file, for `truesparse.load`, `truesparse.runtime` and the commands.

        Parameters
        ----------
        path : str or Path
        vocabulary : Vocabulary, TextEncoder, TokenEncoder or SeriesEncoder, optional
            What its tokens mean; of a model of whole texts a `TextEncoder`, which says how they are read too,
            of a tagger a `TokenEncoder`, and of features a `SeriesEncoder`, which names them.
            That of the model if left out. Without one a model reads numbers.
        labels : sequence of str, optional
            Names of the outputs of a classifier or tagger; those of the model if left out.

        Raises
        ------
        UsageError
            Vocabulary or labels do not fit the model.
        TruesparseError
            The file cannot be written; an earlier one is unharmed.
        """
        own, encoder = self.vocabulary, self.encoder
        if isinstance(vocabulary, TextEncoder | TokenEncoder | SeriesEncoder):
            own, encoder = vocabulary.vocabulary, vocabulary
        elif vocabulary is not None:
            own, encoder = vocabulary, None
        check_kind("labels", labels, (list, tuple, np.ndarray), "a list of texts")
        labels = tuple(labels) or self.labels
        check_reading(self.chain, own, encoder, labels)
        save_model(path_of(path), self, own, encoder, labels)

    def workspace(self, steps: int, batch: int) -> Workspace:
        """Return the buffers for windows of up to `steps` steps and `batch` sequences."""
        return Workspace(self, steps, batch)

    def zero_state(self, batch: int) -> State:
        """Return a hidden state of zeros for `batch` sequences."""
        return State(self.chain, batch)

    def loss_and_gradients(
        self,
        inputs: NDArray[Any],
        targets: NDArray[Any],
        ws: Workspace,
        state: State | None = None,
        lengths: NDArray[np.int32] | None = None,
        rng: np.random.Generator | None = None,
        weights: NDArray[np.float64] | None = None,
        share: float = 1.0,
        final: Callable[[Sequence[str]], None] | None = None,
    ) -> float:
        """Return the mean loss, and add its gradients of every parameter to the arena.

        Parameters
        ----------
        inputs : ndarray of int32, shape (steps, B), or of float32, shape (steps, D, B)
            Tokens in [0, V), -1 for none; or, in a model without embedding, features, which are finite beyond
            a sequence's length too.
        targets : ndarray
            What the head is to say, for each step or each sequence; see the heads.
        ws : Workspace
        state : State, optional
            Carried on in place; begins with zeros if left out.
        lengths : ndarray of int32, shape (B,), optional
            Steps of each sequence, 0 in places that hold none; all have all steps if left out.
        rng : numpy.random.Generator, optional
            Draws what is dropped; without it nothing is.
        weights : ndarray of float64, shape (B,), optional
            How much each sequence counts in the mean, ``sum(weight * loss) / sum(weight)``: 0 or more, 0 in
            places that hold none. Without, all count the same.
        share : float
            What the loss and its gradients are multiplied by, for one that is a part of a larger mean.
        final : callable, optional
            Called with names in the arena whose gradients do not change any more, layer by layer, from the
            head down. Those of matrices of which weights are dropped are final at the end, and not named.

        Returns
        -------
        float
            Mean per target: the cross-entropy in nats, or half the squared error.
        """
        self._draw(ws, rng)
        with dropped_weights(self.arena, self._dropped, rng) if self._dropped else _WHOLE:
            x, used = self._run(inputs, ws, state, lengths)
            count = self._place(targets, ws, weights)
            scale = share / count
            top = ws.gradient_of(len(self.layers))
            assert top is not None
            loss = self.head.loss_and_gradients(top[:used], x, ws.targets, scale, ws.output)
            if final is not None:
                final(self._final[-1])
            for number in reversed(range(self._first, len(self.layers))):
                layer, dy = self.layers[number], ws.gradient_of(number + 1)
                dx = None if number == self._first and layer.FIRST else ws.gradient_of(number)
                layer.backward(dx, dy, ws.x[number], ws.layers[number], ws.window)
                if final is not None:
                    final(self._final[number])
        ws.done = True
        return float(loss * scale)

    def loss(
        self,
        inputs: NDArray[Any],
        targets: NDArray[Any],
        ws: Workspace,
        state: State | None = None,
        lengths: NDArray[np.int32] | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> float:
        """Return the mean loss without dropout and gradients; parameters are those of
        `loss_and_gradients`."""
        self._draw(ws, None)
        x, _ = self._run(inputs, ws, state, lengths)
        count = self._place(targets, ws, weights)
        return self.head.loss(x, ws.targets, ws.output) / count

    def predict(
        self,
        inputs: NDArray[Any],
        ws: Workspace,
        state: State | None = None,
        lengths: NDArray[np.int32] | None = None,
    ) -> NDArray[np.float32]:
        """Return the model's output for each sequence, or after the last step.

        Parameters
        ----------
        inputs, ws, state, lengths
            As for `loss_and_gradients`.

        Returns
        -------
        ndarray of float32, shape (outputs, B)
            Log-probabilities, or numbers.
        """
        self._draw(ws, None)
        self._run(inputs, ws, state, lengths)
        per_step = self.chain.per_step
        panels = ws.window.panels if per_step else ws.window.one
        return self.head.predict(ws.x[-1], panels, ws.window.steps - 1 if per_step else 0, ws.output)

    def predict_steps(
        self,
        inputs: NDArray[Any],
        ws: Workspace,
        state: State | None = None,
        lengths: NDArray[np.int32] | None = None,
    ) -> NDArray[np.float32]:
        """Return the outputs at all steps, for a model that has one at each; parameters are those of
        `predict`.

        Returns
        -------
        ndarray of float32, shape (steps, outputs, B)
            As in `predict`. Without meaning beyond a sequence's length.
        """
        self._draw(ws, None)
        self._run(inputs, ws, state, lengths)
        return self.head.predict_steps(ws.x[-1], ws.window.panels, ws.window.steps, ws.output)

    def dense_gradients(self, ws: Workspace) -> dict[str, GradientRows]:
        """Return functions that compute the gradient at all positions, of the window of the last
        `loss_and_gradients`.

        Parameters
        ----------
        ws : Workspace
            Must not be used for another window before the functions are.

        Returns
        -------
        dict of str to function
            For each matrix: `function(out, first)` writes the gradient of the rows from number `first` on to
            `out`, float32 of shape (some rows, columns). For rows of the output layer the weights must be as
            they were.

        Raises
        ------
        RuntimeError
            If no `loss_and_gradients` came before.

        Notes
        -----
        2 floating-point operations for each position and column of the window, and for the output layer its
        forward pass again.
        """
        if not ws.done:
            raise RuntimeError("dense gradients need a backward pass before, with the same workspace")
        x = ws.x[-1][: self._used(ws)]
        functions: dict[str, GradientRows] = self.head.gradient_rows(x, ws.targets, ws.output)
        for number, layer in enumerate(self.layers):
            dy = ws.gradient_of(number + 1)
            own = layer.gradient_rows(dy, ws.x[number], ws.layers[number], ws.window)
            for name, function in own.items():
                functions[name] = _both(functions[name], function) if name in functions else function
        return functions

    def _draw(self, ws: Workspace, rng: np.random.Generator | None) -> None:
        """Draw the masks of a window, or none."""
        masked = [(self.layers[number].rate, ws.layers[number]) for number in self._keys]  # type: ignore[attr-defined]
        if self.head.rate:  # the last one: the layers' masks do not depend on it
            masked.append((self.head.rate, ws.output))
        keys = None
        if rng is not None and any(rate for rate, _ in masked):
            keys = rng.integers(0, 2**64, size=len(masked), dtype=np.uint64)
        for place, (rate, own) in enumerate(masked):
            own.mask = NO_MASK if keys is None else Mask(keys[place], np.float32(rate))

    def _run(
        self,
        inputs: NDArray[Any],
        ws: Workspace,
        state: State | None,
        lengths: NDArray[np.int32] | None,
    ) -> tuple[NDArray[np.float32], int]:
        """Run the layers; return what the head sees, and of how many panels."""
        window = ws.window
        panels, steps, batch = window.panels, inputs.shape[0], inputs.shape[-1]
        if steps > panels.steps or batch != panels.batch:
            raise ValueError(
                f"a window of {steps} x {batch} does not fit a workspace for {panels.steps} x {panels.batch}"
            )
        if state is not None and self.chain.whole:
            raise UsageError(
                "a model that reads in both directions carries no state from one window to the next; give it"
                " whole sequences, as SequenceBatches does"
            )
        ws.done = False
        window.steps = steps
        if state is None:
            state = ws.start
            state.reset()
        if lengths is not None or window.filled != steps:
            every = np.full(batch, steps, np.int32) if lengths is None else lengths
            window.one.place(window.lengths[:, None], every[None, None].astype(np.float32))
            window.filled = steps if lengths is None else -1
        if self.chain.tokens:
            panels.place_ids(ws.x[0], inputs)
        else:
            panels.place(ws.x[0], inputs)
        for number, layer in enumerate(self.layers):
            x, y = ws.x[number], ws.x[number + 1]
            layer.forward(y, x, state.layers[number], ws.layers[number], window)
        used = self._used(ws)
        return ws.x[-1][:used], used

    def _used(self, ws: Workspace) -> int:
        return ws.window.used if self.chain.per_step else ws.window.one.panels

    def _place(self, targets: NDArray[Any], ws: Workspace, weights: NDArray[np.float64] | None = None) -> int:
        """Put the targets and their weights into the workspace; return how many there are."""
        panels, rows = (ws.window.panels, targets) if self.chain.per_step else (ws.window.one, targets[None])
        count = self.head.place_targets(ws.targets, rows, panels)
        if not count:
            raise UsageError("there is nothing to learn from or to measure: every target is -1 or NaN")
        self.head.weigh(ws.output, weights, len(rows), count, panels)
        return count


def _both(one: GradientRows, other: Any) -> GradientRows:
    """The gradient of a matrix that two layers share; the other one can add."""

    def both(out: NDArray[np.float32], first: int) -> None:
        one(out, first)
        other(out, first, add=True)

    return both
