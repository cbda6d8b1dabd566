"""Estimators as model files, and what is made of these."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.modelfile import Encoder
from truesparse.settings import shown
from truesparse.sklearn.network import Network, Samples
from truesparse.tasks.sequences import SequenceConfig
from truesparse.training.config import Config

if TYPE_CHECKING:
    from truesparse.model import Model

_KINDS = "biufUO"  # of NumPy's types; objects must be texts


class LoadedNetwork(Network):
    """A network that predicts, from a file, which does not say how its training would go on."""

    def __init__(self, config: Config, model: Model) -> None:
        self.config, self.model, self.chain, self.passes = config, model, model.chain, 0

    def train(self, samples: Samples, *more: Any) -> float:
        """Refused."""
        raise UsageError(
            "an estimator that was loaded from a model file cannot go on learning; fit it anew, or pickle the"
            " estimator instead"
        )


class Saving:
    """What estimators have to be saved, loaded and exported.

    Attributes
    ----------
    CONFIG : type
        Of the configuration.
    STORED : tuple of str
        Attributes of a fitted estimator that lie in the file, where it has them.
    """

    CONFIG: ClassVar[type[Config]] = SequenceConfig
    STORED: ClassVar[tuple[str, ...]] = ("loss_curve_", "validation_scores_")

    network_: Network

    def save(self, path: str | PathLike[str]) -> None:
        """Write a model file, for `load`, the commands, `truesparse.load` and `truesparse.runtime`.

        Classes become labels, which are texts; `load` makes classes of their own type of them again.

        Parameters
        ----------
        path : path-like

        Raises
        ------
        TruesparseError
            The file cannot be written; an earlier one is unharmed. Or it cannot hold what was learned, as of
            classes that are dates.
        """
        from truesparse.model import Model
        from truesparse.model.saving import save_model

        check_is_fitted(self)
        chain, encoder, labels = self._described()
        own = {name: _as_document(name, vars(self)[name]) for name in self.STORED if name in vars(self)}
        document = {"type": type(self).__name__, "parameters": self._plain_parameters(), "fitted": own}
        vocabulary = None if encoder is None else encoder.vocabulary
        model = Model(chain, self.network_.model.arena)
        history = asdict(self.network_.config)
        save_model(Path(path), model, vocabulary, encoder, labels, history, document)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read an estimator that `save` has written; it predicts the same.

        It cannot go on learning, but `fit` anew. Lists and arrays in parameters have become tuples. What is
        no plain value, such as a RandomState, has its default.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        estimator
            Fitted.

        Raises
        ------
        TruesparseError
            The file cannot be read, or is of something else.
        """
        from truesparse.model.loading import read_saved
        from truesparse.modelfile import Reader, find_model

        with Reader(find_model(Path(path))) as reader:
            saved, document = read_saved(reader), reader.document.get("estimator")
        saved.check_finite()
        if not isinstance(document, dict):
            raise TruesparseError(f"{path} was not saved by an estimator; use truesparse.load for it")
        if document.get("type") != cls.__name__:
            raise TruesparseError(
                f"{path} is of another estimator, {shown(document.get('type'))}, not {cls.__name__}"
            )
        try:
            estimator = cls(**{name: _told(value) for name, value in document["parameters"].items()})
            for name, value in document["fitted"].items():
                if name in cls.STORED:
                    setattr(estimator, name, _from_document(value))
            estimator._restore(saved.model)
        except (AttributeError, KeyError, TypeError, ValueError, UsageError) as error:
            raise TruesparseError(f"{path} is of no {cls.__name__}: {error}; use another file") from None
        return estimator

    def export(
        self, path: str | PathLike[str], to: str = "c", name: str = "model", dtype: str = "float32"
    ) -> dict[str, Any]:
        """Write the model in a form that other programs read, which predicts the same.

        C and ONNX of a forecaster make the whole forecast. Other forms have its network alone, which says how
        much the next steps differ from a simple forecast; see `truesparse.data.SeriesEncoder`.

        Parameters
        ----------
        path : path-like
            The folder to make.
        to : str
            "c", "onnx", "torch" or "scipy".
        name : str
            For C: of the files, and what all names in the source begin with.
        dtype : {"float32", "int8"}
            For C: the type of the weights.

        Returns
        -------
        dict
            Files and sizes; see `truesparse.export.export_model`.

        Raises
        ------
        UsageError, TruesparseError
            An argument cannot be right, the form cannot express the model, or the folder cannot be made.
        """
        from truesparse.export import export_model

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.safetensors"
            self.save(file)
            return export_model(file, to, Path(path), name, dtype)

    def _described(self) -> tuple[ChainSpec, Encoder, list[str]]:
        """Layers, encoder and labels of the model file."""
        labels = [str(label) for label in vars(self).get("classes_", ())]
        return self.network_.model.chain, None, labels

    def _restore(self, model: Model) -> None:
        """Take the model of a file; the attributes in `STORED` are there already.

        Raises
        ------
        ValueError, UsageError
            They do not fit.
        """
        classes = vars(self).get("classes_")
        if "classes_" in self.STORED and (
            not isinstance(classes, np.ndarray) or classes.shape != (model.chain.head.outputs,)
        ):
            raise ValueError("its classes are not as many as its model's outputs")
        self.network_ = LoadedNetwork(self._configuration(self.CONFIG), model)  # type: ignore[attr-defined]

    def _plain_parameters(self) -> dict[str, Any]:
        """Those that a file can hold."""
        given: Mapping[str, Any] = self.get_params()  # type: ignore[attr-defined]
        plain = {}
        for name, value in given.items():
            with suppress(TypeError):
                plain[name] = _plain(value)
        return plain


def _plain(value: Any) -> Any:
    """A parameter as JSON can hold it; TypeError if it cannot."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {"pairs": [[_plain(key), _plain(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError


def _told(value: Any) -> Any:
    """What `_plain` has made JSON of; sequences are tuples."""
    if isinstance(value, dict):
        return {_told(key): _told(item) for key, item in value["pairs"]}
    return tuple(map(_told, value)) if isinstance(value, list) else value


def _as_document(name: str, value: Any) -> Any:
    """An attribute as JSON can hold it."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _KINDS or not _are_texts(value):
            raise TruesparseError(
                f"{name} of the type {value.dtype} cannot be saved; make texts or numbers of the classes"
            )
        return {"dtype": value.dtype.str, "values": value.tolist()}
    return list(value) if isinstance(value, tuple) else value


def _from_document(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    dtype = np.dtype(value["dtype"])
    if dtype.kind not in _KINDS:
        raise ValueError(f"an attribute has the type {dtype}")
    array = np.array(value["values"], dtype)
    if not _are_texts(array):
        raise ValueError("an attribute has objects that are no texts")
    return array


def _are_texts(array: NDArray[Any]) -> bool:
    return array.dtype != object or all(isinstance(item, str) for item in array.flat)
