"""What the estimators have in common: parameters, training, prediction."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from truesparse.data import Sequences
from truesparse.errors import TruesparseError
from truesparse.layers.chain import ChainSpec
from truesparse.settings import check_kind
from truesparse.sklearn.network import Network, Samples, kernel_threads
from truesparse.sklearn.parameters import CLASS_WEIGHT, OPTIMIZERS, FitSettings
from truesparse.sklearn.saving import Saving
from truesparse.tasks.sources import resolve
from truesparse.training.config import Config
from truesparse.training.reporter import Reporter
from truesparse.training.telling import Teller
from truesparse.training.training import StepMeasures

C = TypeVar("C", bound=Config)


class SparseNetworkEstimator(Saving, BaseEstimator):
    """Base of the estimators.

    A subclass has a constructor with all parameters, and says how targets become numbers and what is best.
    """

    if TYPE_CHECKING:

        def __init__(self, **parameters: Any) -> None:
            """See `truesparse.sklearn.parameters.with_parameters`."""

    class_weight: Any
    loss_curve_: list[float]
    n_jobs: int | None
    network_: Network
    random_state: Any
    reporter: Any
    validation_fraction: float
    verbose: int

    def _settings(self) -> dict[str, Any]:
        """The parameters by the names that the configuration has for them."""
        settings: dict[str, Any] = self.get_params()
        return settings

    def _configuration(self, kind: type[C]) -> C:
        """The configuration that the parameters are, checked."""
        known = kind.fields().keys() - CLASS_WEIGHT.keys()  # of the command line it is a text
        given = {name: value for name, value in self._settings().items() if name in known}
        given["seed"] = int(check_random_state(self.random_state).randint(2**31 - 1))
        with as_value_error():
            config = resolve(given, environment={}, task=kind).filled()
        if config.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer is {config.optimizer!r}; here it must be {' or '.join(OPTIMIZERS)}")
        return config

    @contextmanager
    def _draft(self) -> Iterator[Self]:
        """A copy that learns, and whose attributes become this one's when it has: an error or Ctrl-C in the
        block leaves this estimator as it was.

        What the attributes are is not changed in place, but replaced.
        """
        draft = copy.copy(self)
        yield draft
        self.__dict__ = draft.__dict__  # at once, so that no signal comes between

    def _fit(
        self,
        config: Config,
        chain: ChainSpec,
        samples: Samples,
        held_out: Samples | None,
        passes: int,
        tokens: Sequence[str] = (),
    ) -> None:
        """Train; keep the last model, or the best one by the held-out data. `tokens` are what the rows of the
        embedding stand for."""
        told = self._fit_settings()
        calibrate = vars(self).get("calibrate", False)
        if calibrate and held_out is None:
            raise ValueError("calibrate needs samples that are held out; use fit, with a validation_fraction")
        reporter = Reporter() if self.reporter is None else self.reporter
        with as_value_error():
            check_kind("reporter", reporter, Reporter, "a truesparse.Reporter or None")
        with closing(reporter), as_value_error(), kernel_threads(effective_n_jobs(self.n_jobs)):
            network = Network(
                config, chain, samples, self.network_.model if self._goes_on() else None, tokens
            )
            self.loss_curve_, self.validation_scores_ = [], []
            best: tuple[float, ...] | None = None
            highest, stale = -np.inf, 0
            kept, steps = network, -(-len(samples.sequences) // config.batch_size)
            teller = Teller(reporter, network.training, chain.dense_parameters, steps, passes)

            def after(done: StepMeasures) -> bool:
                teller.step(done)
                return False

            for number in range(1, passes + 1):
                self.loss_curve_.append(network.train(samples, after))
                teller.trained(self.loss_curve_[-1])
                better = True
                line = f"epoch {number} of {passes}: loss {self.loss_curve_[-1]:.4f}"
                if held_out is not None:
                    score = self._score_of(network.predict(held_out.sequences), held_out)
                    self.validation_scores_.append(score[0])
                    line += f", validation score {score[0]:.4f}"
                    better = network.training.is_best(best is None or score > best, kept.model.arena.nnz)
                    if better:
                        best, kept = score, copy.deepcopy(network)
                    teller.measured(better, score=score[0])
                    stale = 0 if score[0] >= highest + told.tol or network.shrinks else stale + 1
                    highest = max(highest, score[0])
                network.training.settle(network.passes, better)
                teller.epoch()
                if self.verbose:
                    print(line, flush=True)
                if told.early_stopping and stale >= told.n_iter_no_change:
                    break
            if held_out is not None and calibrate:
                kept.calibrate(held_out)
            teller.end(epochs=len(self.loss_curve_))
        self.network_ = kept

    def _fit_settings(self) -> FitSettings:
        """When to begin anew and when to end, checked."""
        with as_value_error():
            return FitSettings(**{f.name: getattr(self, f.name) for f in dataclasses.fields(FitSettings)})

    def _goes_on(self) -> bool:
        """Whether `fit` begins with the last model."""
        return self._fit_settings().warm_start and hasattr(self, "network_")

    def _refuse_early_stopping(self) -> None:
        """Raise ValueError where there is but one pass."""
        if self._fit_settings().early_stopping:
            raise ValueError("early_stopping does not go with partial_fit, which makes one pass; use fit")

    def _score_of(self, outputs: NDArray[np.float32], samples: Samples) -> tuple[float, ...]:
        """How good outputs are: what decides first, then what decides if that is equal."""
        raise NotImplementedError

    def _train_once(self, samples: Samples) -> None:
        """One more pass over data that need not be the same."""
        with as_value_error(), kernel_threads(effective_n_jobs(self.n_jobs)):
            network = copy.deepcopy(self.network_)  # the one before stays whole if the pass fails half-way
            loss = network.train(samples)
        self.network_, self.loss_curve_ = network, [*self.loss_curve_, loss]

    def _outputs(self, sequences: Sequences) -> NDArray[np.float32]:
        with kernel_threads(effective_n_jobs(self.n_jobs)):
            return self.network_.predict(sequences)

    def _held_out_fraction(self) -> float:
        """Which fraction is held out; 0 for none."""
        fraction = self.validation_fraction
        if not isinstance(fraction, (int, float)) or not 0 <= fraction < 1:
            raise ValueError(f"validation_fraction is {fraction!r}; it must be at least 0 and below 1")
        return fraction or (0.1 if self._fit_settings().early_stopping else 0.0)

    def _hold_out(self, n: int, stratify: NDArray[Any] | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which samples are trained on, and which are held out to choose the epoch by."""
        fraction = self._held_out_fraction()
        if not fraction:
            return np.arange(n), np.empty(0, np.int64)
        from sklearn.model_selection import train_test_split

        rng = check_random_state(self.random_state)
        train, held_out = train_test_split(
            np.arange(n), test_size=fraction, stratify=stratify, random_state=rng
        )
        return np.sort(train), np.sort(held_out)

    @property
    def n_iter_(self) -> int:
        """How many passes over the samples there were."""
        return len(self.loss_curve_)

    @property
    def nnz_(self) -> int:
        """How many weights the sparse matrices of the fitted model have."""
        return self.network_.model.arena.nnz

    @property
    def density_(self) -> float:
        """Which fraction that is of the positions of these matrices."""
        return self.nnz_ / self.network_.chain.dense_parameters


@contextmanager
def as_value_error() -> Iterator[None]:
    """Turn what truesparse raises into ValueError."""
    try:
        yield
    except TruesparseError as error:
        raise ValueError(str(error)) from None
