"""A model of what ranks on other networks would take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Network(NamedTuple):
    """A network between ranks.

    Attributes
    ----------
    latency : float
        Seconds that a message takes however short it is.
    bandwidth : float
        Bytes a second that each rank sends.
    """

    latency: float
    bandwidth: float

    def seconds(self, ranks: int, size: float, messages: float = 1.0) -> float:
        """What adding up `size` bytes in so many reductions takes: to each of the others a piece there and a
        sum back, in all ``2 (n - 1) / n`` times the size."""
        others = ranks - 1
        return 2 * others * self.latency * messages + 2 * others / ranks * size / self.bandwidth


# Nominal bandwidth, and latency as TCP has it; InfiniBand has a tenth.
NETWORKS = {
    "1 GbE": Network(50e-6, 0.125e9),
    "10 GbE": Network(20e-6, 1.25e9),
    "100 GbE": Network(10e-6, 12.5e9),
}
DELAYED = "1 GbE"  # the one that waits imitate
MODELLED = (2, 4, 8, 16, 32)  # ranks


class Cost(NamedTuple):
    """What a rank computes and sends.

    Attributes
    ----------
    compute : float
        Seconds of a step without any exchange.
    bytes, reductions : float
        That a step gives to be added up, as float32, and in how many calls.
    states : float
        Bytes of the optimizer's states, which local steps average too.
    weights : float
        Bytes of all weights.
    begun : sequence of (float, float)
        Of sums that begin while the backward pass goes on, how many seconds before its end, in their order,
        and bytes.
    """

    compute: float
    bytes: float
    reductions: float
    states: float
    weights: float
    begun: Sequence[tuple[float, float]] = ()

    def faster(self, times: float) -> Cost:
        """That of a machine which computes so many times as fast."""
        begun = [(before / times, size) for before, size in self.begun]
        return self._replace(compute=self.compute / times, begun=begun)

    def exchange(self, network: Network, ranks: int, rounded: float = 1.0) -> float:
        """Seconds from the end of the backward pass until all sums of a step are there, each after the one
        before; numbers take `rounded` times their bytes."""
        end = -math.inf
        for before, size in self.begun:
            end = max(end, -before) + network.seconds(ranks, rounded * size)
        rest = rounded * (self.bytes - sum(size for _, size in self.begun))
        return max(end, 0.0) + network.seconds(ranks, rest, self.reductions - len(self.begun))

    def efficiency(self, network: Network, ranks: int, local_steps: int = 1, bf16: bool = True) -> float:
        """Which fraction of the time of a step is left for computing; phases have `local_steps` steps."""
        loss = network.seconds(ranks, 8)
        rounded = 0.5 if bf16 else 1.0
        if local_steps == 1:
            exchange = self.exchange(network, ranks, rounded)
        else:
            exchange = network.seconds(ranks, rounded * self.weights + self.states, 2) / local_steps
        return self.compute / (self.compute + exchange + loss)
