"""Which connections exist: initial patterns, drop and grow rules, schedules, named methods."""

from truesparse.topology.hooks import Beginning, GradientHooks, Hooks
from truesparse.topology.initial import (
    DISTRIBUTIONS,
    erdos_renyi_counts,
    erdos_renyi_epsilon_counts,
    initial_counts,
    sample_pattern,
    uniform_counts,
)
from truesparse.topology.method import Method
from truesparse.topology.methods import METHODS, get_method, register
from truesparse.topology.schedules import constant, cosine, cubic
from truesparse.topology.snfs import DenseMomentum, MomentumHooks
from truesparse.topology.update import Changed, Part, Update, parts_of

__all__ = [
    "DISTRIBUTIONS",
    "METHODS",
    "Beginning",
    "Changed",
    "DenseMomentum",
    "GradientHooks",
    "Hooks",
    "Method",
    "MomentumHooks",
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
