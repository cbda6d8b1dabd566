"""Deep rewiring: weights that keep their signs, pulled towards 0 and shaken after each step."""

from __future__ import annotations

import numpy as np

from truesparse.topology.hooks import Hooks


class SignedHooks(Hooks):
    """Each weight has a sign, the state "sign"; each step takes `l1` off it and adds `noise`, both times the
    learning rate.

    References
    ----------
    G. Bellec, D. Kappel, W. Maass and R. Legenstein, "Deep rewiring: training very sparse deep networks",
    2018, algorithm 1.
    """

    def start(self) -> None:
        """Give each weight the sign that it has."""
        if "sign" in self.arena.states:
            return
        self.arena.add_state("sign")
        for matrix in self.arena.matrices.values():
            matrix.state("sign")[...] = np.copysign(np.float32(1), matrix.data)

    def after_step(self, lr: float) -> None:
        """Shrink the weights and add noise."""
        from truesparse.kernels.noise import signed_noise

        arena, settings = self.arena, self._beginning.settings
        keys = self.rng.integers(0, 2**64, size=4, dtype=np.uint64)
        penalty, noise = np.float32(lr * settings["l1"]), np.float32(lr * settings["noise"])
        signed_noise(arena.values, arena.states["sign"], keys, penalty, noise)
        arena.touch()
