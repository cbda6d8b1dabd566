"""Which connections exist: initial patterns, drop and grow rules, schedules, named methods."""

from typing import TYPE_CHECKING

from truesparse.lazy import lazy

if TYPE_CHECKING:
    from truesparse.topology.hooks import Beginning as Beginning
    from truesparse.topology.hooks import GradientHooks as GradientHooks
    from truesparse.topology.hooks import Hooks as Hooks
    from truesparse.topology.initial import DISTRIBUTIONS as DISTRIBUTIONS
    from truesparse.topology.initial import erdos_renyi_counts as erdos_renyi_counts
    from truesparse.topology.initial import erdos_renyi_epsilon_counts as erdos_renyi_epsilon_counts
    from truesparse.topology.initial import initial_counts as initial_counts
    from truesparse.topology.initial import sample_pattern as sample_pattern
    from truesparse.topology.initial import uniform_counts as uniform_counts
    from truesparse.topology.method import Method as Method
    from truesparse.topology.methods import METHODS as METHODS
    from truesparse.topology.methods import get_method as get_method
    from truesparse.topology.methods import register as register
    from truesparse.topology.schedules import constant as constant
    from truesparse.topology.schedules import cosine as cosine
    from truesparse.topology.schedules import cubic as cubic
    from truesparse.topology.snfs import DenseMomentum as DenseMomentum
    from truesparse.topology.snfs import MomentumHooks as MomentumHooks
    from truesparse.topology.update import Changed as Changed
    from truesparse.topology.update import Part as Part
    from truesparse.topology.update import Update as Update
    from truesparse.topology.update import parts_of as parts_of

__all__, __getattr__ = lazy(__name__)
