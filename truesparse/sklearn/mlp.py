"""A classifier and a regressor of rows of numbers: feed-forward nets, with scikit-learn's parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.utils import Tags
from sklearn.utils.validation import validate_data

from truesparse.data import Sequences
from truesparse.layers.chain import ChainSpec
from truesparse.layers.linear.spec import ACTIVATIONS
from truesparse.sklearn.classifier import SparseLSTMClassifier
from truesparse.sklearn.parameters import CLASS_WEIGHT, OPTIMIZERS, OWN, Parameter, with_parameters
from truesparse.sklearn.regressor import SparseLSTMRegressor
from truesparse.sklearn.sequences import SequenceEstimator
from truesparse.tasks.mlp.settings import MLPConfig
from truesparse.tasks.sequences import SequenceConfig
from truesparse.training.chosen import choices

# Names of `sklearn.neural_network.MLPClassifier` for settings.
_NAMES = {
    "alpha": "weight_decay",
    "hidden_layer_sizes": "hidden_sizes",
    "learning_rate_init": "lr",
    "max_iter": "epochs",
}
# Other names that it has for parameters.
_ALIASES = {"solver": "optimizer", "beta_1": "beta1", "beta_2": "beta2"}
_AUTO_BATCH = 200
_ADAPTIVE = 5.0  # what its adaptive learning rate is divided by
_ABSENT = {
    "nesterovs_momentum": "the momentum of sgd is the plain one",
    "power_t": 'there is no learning_rate "invscaling"; use lr_schedule="cosine"',
    "max_fun": 'there is no solver "lbfgs"',
}
_LIKE_SKLEARN = {
    "hidden_layer_sizes": Parameter((100,), "tuple of int", "Units of each hidden layer."),
    "activation": Parameter(
        "relu",
        "{" + ", ".join(f'"{name}"' for name in ("identity", *ACTIVATIONS)) + "}",
        "What is made of each hidden unit's sum; identity is none.",
    ),
    "alpha": Parameter(1e-4, "float", "L2 penalty added to the gradient."),
    "batch_size": Parameter("auto", 'int or "auto"', "Rows that are learned at once; auto is 200."),
    "learning_rate_init": Parameter(0.001, "float", "Learning rate at the start."),
    "max_iter": Parameter(200, "int", "Passes over the training data."),
    "solver": Parameter(None, '{"adam", "sgd"} or None', "Another name of optimizer; None if not given."),
    "beta_1": Parameter(None, "float or None", "Another name of beta1; None if not given."),
    "beta_2": Parameter(None, "float or None", "Another name of beta2; None if not given."),
    "learning_rate": Parameter(
        "constant",
        '{"constant", "adaptive"}',
        "adaptive divides it by lr_decay, 5 if not given, after each epoch whose score of the held-out"
        " samples is no new best. constant leaves it to lr_schedule, lr_decay and lr_decay_start.",
    ),
    "shuffle": Parameter(True, "bool", "Only True: each pass has the rows in a new order."),
}
_OF_COMMANDS = (
    "goal",
    "target_column",
    "weight_column",
    "valid_fraction",
    "test_fraction",
    "inputs",
    *_NAMES.values(),
)


class RowEstimator(SequenceEstimator):
    """Of rows of numbers, which are sequences of one step."""

    STORED = (*SequenceEstimator.STORED[:-2],)
    CONFIG = MLPConfig

    learning_rate: Any
    lr_schedule: Any

    def _read(self, X: Any, reset: bool) -> Sequences:
        """Rows of an array or frame of shape (n, features)."""
        table = validate_data(self, X, reset=reset, dtype=np.float32)
        return Sequences(np.ascontiguousarray(table), np.arange(len(table) + 1))

    def _chain(self, config: SequenceConfig, features: int, outputs: int, kind: str) -> ChainSpec:
        assert isinstance(config, MLPConfig)
        return config.chain(features, outputs, kind)

    def _settings(self) -> dict[str, Any]:
        settings = {_NAMES.get(name, name): value for name, value in self._without_aliases().items()}
        sizes = settings["hidden_sizes"]
        sizes = sizes if isinstance(sizes, Iterable) and not isinstance(sizes, str) else [sizes]
        settings["hidden_sizes"] = ",".join(map(str, sizes))
        if settings["activation"] == "identity":
            settings["activation"] = "none"
        if settings["batch_size"] == "auto":
            settings["batch_size"] = _AUTO_BATCH
        adaptive = self._adaptive()
        if settings["lr_decay"] is None:  # as scikit-learn's; that of the presets is for their epochs
            settings["lr_decay"] = _ADAPTIVE if adaptive else 1.0
        if adaptive and settings["lr_decay_start"] is None:
            settings["lr_decay_start"] = 0
        if settings["shuffle"] not in (True, 1):
            raise ValueError(
                f"shuffle is {settings['shuffle']!r}, but each pass has the rows in a new order; leave it out"
            )
        return settings

    def _without_aliases(self) -> dict[str, Any]:
        """The parameters by one name each; ValueError if two names of one differ."""
        given, usual = self.get_params(), type(self)().get_params()
        if given["solver"] not in (None, *OPTIMIZERS):
            raise ValueError(f"solver is {given['solver']!r}; here it must be {' or '.join(OPTIMIZERS)}")
        for alias, name in _ALIASES.items():
            value = given.pop(alias)
            if value is None:
                continue
            if given[name] not in (usual[name], value):
                raise ValueError(
                    f"{alias} is {value!r} and {name} is {given[name]!r}, but both are one parameter"
                    "; leave one of the two out"
                )
            given[name] = value
        fitting = choices()["optimizer"].get(given["optimizer"], _ALIASES.values())
        for alias in _ALIASES:
            if getattr(self, alias) is not None and _ALIASES[alias] not in ("optimizer", *fitting):
                raise ValueError(f"{alias} does not go with solver {given['optimizer']}; leave it out")
        return given

    def _adaptive(self) -> bool:
        """Whether the learning rate falls by the score of the held-out samples; ValueError if it cannot."""
        told = self.learning_rate
        if not isinstance(told, str) or told not in ("constant", "adaptive"):
            raise ValueError(
                f"learning_rate is {told!r}; here it must be constant or adaptive, and the number is"
                ' learning_rate_init; lr_schedule="cosine" also lowers it'
            )
        if told == "adaptive" and not self._held_out_fraction():
            raise ValueError(
                "learning_rate='adaptive' goes by samples that are held out; give validation_fraction or"
                " early_stopping too"
            )
        if told == "adaptive" and self.lr_schedule == "cosine":
            raise ValueError(
                "learning_rate='adaptive' and lr_schedule='cosine' both say how the rate falls; leave one out"
            )
        return bool(told == "adaptive")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = False
        return tags


@with_parameters(MLPConfig, {**CLASS_WEIGHT, **_LIKE_SKLEARN, **OWN}, _OF_COMMANDS, _ABSENT)
class SparseMLPClassifier(RowEstimator, SparseLSTMClassifier):
    """A truly sparse feed-forward net that classifies rows of numbers.

    It has the parameters of scikit-learn's `MLPClassifier` under the same names, except `power_t`, `max_fun`
    and `nesterovs_momentum`, and those of sparse training beside them. Like that it learns best from features
    of mean 0 and variance 1.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
        Columns.
    loss_curve_, validation_scores_, n_iter_, temperature_, nnz_, density_
        As in `SparseLSTMClassifier`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from truesparse.sklearn import SparseMLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SparseMLPClassifier(density=0.1, learning_rate_init=0.01, max_iter=20, random_state=0)
    >>> model.fit(X[:1500] / 16, y[:1500]).score(X[1500:] / 16, y[1500:]) > 0.85
    True
    """

    STORED = (*RowEstimator.STORED, "classes_")


@with_parameters(
    MLPConfig,
    {**_LIKE_SKLEARN, **OWN},
    (*_OF_COMMANDS, "choose_by", "label_smoothing", "calibrate", "class_weight"),
    {**_ABSENT, "loss": "the loss is the squared error"},
)
class SparseMLPRegressor(RowEstimator, SparseLSTMRegressor):
    """A truly sparse feed-forward net that predicts numbers from rows of numbers.

    It has the parameters of scikit-learn's `MLPRegressor` under the same names, except `loss`, `power_t`,
    `max_fun` and `nesterovs_momentum`. Targets are brought to mean 0 and variance 1 while it learns; features
    are read as they are.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    n_features_in_, n_iter_, nnz_, density_, loss_curve_, validation_scores_
        As in `SparseLSTMRegressor`.
    """

    STORED = (*RowEstimator.STORED, "_target_shape")
