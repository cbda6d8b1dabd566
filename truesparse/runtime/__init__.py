"""Trained models where nothing is installed but NumPy and safetensors.

>>> from truesparse import runtime
>>> model = runtime.load("runs/mine")                       # doctest: +SKIP
>>> "".join(model.generate("the ", length=20))              # doctest: +SKIP
>>> stream = model.stream()                                 # doctest: +SKIP
>>> log_probabilities = stream.step(token)                  # doctest: +SKIP

The same forward pass as in training, without Numba and SciPy: importing takes the time that NumPy takes.
"""

from truesparse.runtime.language_model import LanguageModel, Stream
from truesparse.runtime.loading import load

__all__ = ["LanguageModel", "Stream", "load"]
