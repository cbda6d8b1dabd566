"""Which connections exist: initial patterns, drop and grow rules, schedules, named methods."""

from truesparse.topology.initial import (
    DISTRIBUTIONS,
    erdos_renyi_counts,
    erdos_renyi_epsilon_counts,
    initial_counts,
    sample_pattern,
    uniform_counts,
)
from truesparse.topology.methods import METHODS, Method, get_method
from truesparse.topology.schedules import cosine

__all__ = [
    "DISTRIBUTIONS",
    "METHODS",
    "Method",
    "cosine",
    "erdos_renyi_counts",
    "erdos_renyi_epsilon_counts",
    "get_method",
    "initial_counts",
    "sample_pattern",
    "uniform_counts",
]
