"""Which connections exist: initial patterns, drop and grow rules, schedules, named methods."""

from truesparse.topology.initial import (
    DISTRIBUTIONS,
    erdos_renyi_counts,
    erdos_renyi_epsilon_counts,
    initial_counts,
    sample_pattern,
    uniform_counts,
)
from truesparse.topology.method import Changed, Method
from truesparse.topology.methods import METHODS, get_method, register
from truesparse.topology.momentum import DenseMomentum
from truesparse.topology.schedules import constant, cosine, cubic
from truesparse.topology.update import Part, Update, parts_of

__all__ = [
    "DISTRIBUTIONS",
    "METHODS",
    "Changed",
    "DenseMomentum",
    "Method",
    "Part",
    "Update",
    "constant",
    "cosine",
    "cubic",
    "erdos_renyi_counts",
    "erdos_renyi_epsilon_counts",
    "get_method",
    "initial_counts",
    "parts_of",
    "register",
    "sample_pattern",
    "uniform_counts",
]
