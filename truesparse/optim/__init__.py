"""How a number changes: optimizers as flat kernels over the arena."""

from truesparse.optim.sgd import SGD, GradientNorm

__all__ = ["SGD", "GradientNorm"]
