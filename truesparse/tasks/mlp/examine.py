"""The rows that a feed-forward net gets wrong: as of a model of sequences of one step."""

from truesparse.tasks.series.examine import examine

__all__ = ["examine"]
