"""How a number changes: optimizers as flat kernels over the arena."""

from typing import TYPE_CHECKING

from truesparse.lazy import lazy

if TYPE_CHECKING:
    from truesparse.optim.adam import Adam as Adam
    from truesparse.optim.averaging import ASGD as ASGD
    from truesparse.optim.averaging import NTASGD as NTASGD
    from truesparse.optim.averaging import SNTASGD as SNTASGD
    from truesparse.optim.base import Optimizer as Optimizer
    from truesparse.optim.clipping import GradientNorm as GradientNorm
    from truesparse.optim.sgd import SGD as SGD
    from truesparse.optim.table import OPTIMIZERS as OPTIMIZERS
    from truesparse.optim.table import get_optimizer as get_optimizer

__all__, __getattr__ = lazy(__name__)
