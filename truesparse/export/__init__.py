"""Trained models in forms that other programs read, and models that come from other programs."""

from truesparse.export.write import TARGETS, export_model

__all__ = ["TARGETS", "export_model"]
