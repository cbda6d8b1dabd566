"""Measuring a saved feed-forward net: as a model of sequences of one step."""

from truesparse.tasks.series.use import evaluate

__all__ = ["evaluate"]
