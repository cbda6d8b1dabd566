"""Trained models where nothing is installed but NumPy and safetensors.

>>> from truesparse import runtime
>>> model = runtime.load_language_model("runs/mine")        # doctest: +SKIP
>>> "".join(model.generate("the ", length=20))              # doctest: +SKIP
>>> stream = model.stream()                                 # doctest: +SKIP
>>> log_probabilities = stream.step(token)                  # doctest: +SKIP
>>> reviews = runtime.load_classifier("runs/reviews")       # doctest: +SKIP
>>> reviews.predict(["a film to forget"])                   # doctest: +SKIP
['negative']
>>> names = runtime.load_tagger("runs/names")               # doctest: +SKIP
>>> names.predict([["Ada", "was", "here"]])                 # doctest: +SKIP
[['B-PER', 'O', 'O']]
>>> filter = runtime.load_sequence_model("runs/filter")     # doctest: +SKIP
>>> numbers = filter.predict(array)                         # doctest: +SKIP
>>> sales = runtime.load_forecaster("runs/sales")           # doctest: +SKIP
>>> next_steps = sales.predict(series)                      # doctest: +SKIP

The same forward pass as in training, without Numba and SciPy: importing takes the time that NumPy takes.
"""

from truesparse.runtime.classifier import Classifier, ClassifierStream
from truesparse.runtime.forecaster import Forecaster
from truesparse.runtime.language_model import LanguageModel, LanguageModelStream
from truesparse.runtime.loading import (
    load,
    load_classifier,
    load_forecaster,
    load_language_model,
    load_masked_language_model,
    load_sequence_model,
    load_tagger,
)
from truesparse.runtime.masked import MaskedLanguageModel
from truesparse.runtime.parse import Parse
from truesparse.runtime.sequence_model import SequenceModel, SequenceStream
from truesparse.runtime.tagger import Tagger, TaggerStream

__all__ = [
    "Classifier",
    "ClassifierStream",
    "Forecaster",
    "LanguageModel",
    "LanguageModelStream",
    "MaskedLanguageModel",
    "Parse",
    "SequenceModel",
    "SequenceStream",
    "Tagger",
    "TaggerStream",
    "load",
    "load_classifier",
    "load_forecaster",
    "load_language_model",
    "load_masked_language_model",
    "load_sequence_model",
    "load_tagger",
]
