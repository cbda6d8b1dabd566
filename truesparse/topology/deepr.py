"""Deep rewiring: weights that keep their signs, pulled towards 0 and shaken after each step."""

from __future__ import annotations

from dataclasses import dataclass

from truesparse.settings import Settings, setting
from truesparse.topology.hooks import Hooks


@dataclass(frozen=True, kw_only=True)
class DeepRSettings(Settings):
    """Settings of deep rewiring."""

    l1: float = setting(1e-5, "How much a step shrinks each weight, as a multiple of lr.", low=0)
    noise: float = setting(
        1e-5, "Standard deviation of the noise that a step adds, as a multiple of lr.", low=0
    )


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
        import numpy as np

        if "sign" in self.arena.states:
            return
        self.arena.add_state("sign")
        for matrix in self.arena.matrices.values():
            matrix.state("sign")[...] = np.copysign(np.float32(1), matrix.data)

    def after_step(self, lr: float) -> None:
        """Shrink the weights and add noise."""
        import numpy as np

        from truesparse.kernels.noise import signed_noise

        arena, settings = self.arena, self._beginning.settings
        keys = self.rng.integers(0, 2**64, size=4, dtype=np.uint64)
        penalty, noise = np.float32(lr * settings["l1"]), np.float32(lr * settings["noise"])
        signed_noise(arena.values, arena.states["sign"], keys, penalty, noise)
        arena.touch()
