"""Which connections exist: initial patterns, drop and grow rules, schedules, named methods."""

from truesparse.topology.initial import (
    DISTRIBUTIONS,
    erdos_renyi_counts,
    erdos_renyi_epsilon_counts,
    initial_counts,
    sample_pattern,
    uniform_counts,
)

__all__ = [
    "DISTRIBUTIONS",
    "erdos_renyi_counts",
    "erdos_renyi_epsilon_counts",
    "initial_counts",
    "sample_pattern",
    "uniform_counts",
]
