"""How a number changes: optimizers as flat kernels over the arena."""

from truesparse.optim.adam import Adam
from truesparse.optim.averaging import ASGD, NTASGD, SNTASGD
from truesparse.optim.base import Optimizer
from truesparse.optim.clipping import GradientNorm
from truesparse.optim.sgd import SGD
from truesparse.optim.table import OPTIMIZERS, OptimizerChoice, get_optimizer

__all__ = [
    "ASGD",
    "NTASGD",
    "OPTIMIZERS",
    "SGD",
    "SNTASGD",
    "Adam",
    "GradientNorm",
    "Optimizer",
    "OptimizerChoice",
    "get_optimizer",
]
