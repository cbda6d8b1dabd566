"""A model of what ranks on other networks would take."""

from __future__ import annotations

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
    """

    compute: float
    bytes: float
    reductions: float
    states: float
    weights: float

    def efficiency(self, network: Network, ranks: int, local_steps: int = 1, bf16: bool = True) -> float:
        """Which fraction of the time of a step is left for computing; nothing overlaps."""
        loss = network.seconds(ranks, 8)
        rounded = 0.5 if bf16 else 1.0
        if local_steps == 1:
            exchange = network.seconds(ranks, rounded * self.bytes, self.reductions)
        else:
            exchange = network.seconds(ranks, rounded * self.weights + self.states, 2) / local_steps
        return self.compute / (self.compute + exchange + loss)
