"""Trained models in forms that other programs read, and models that come from other programs."""

from typing import TYPE_CHECKING

from truesparse.lazy import lazy

if TYPE_CHECKING:
    from truesparse.export.targets import DTYPES as DTYPES
    from truesparse.export.targets import TARGETS as TARGETS
    from truesparse.export.write import export_model as export_model

__all__, __getattr__ = lazy(__name__)
