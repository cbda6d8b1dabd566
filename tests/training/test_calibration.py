"""Temperatures that make probabilities believable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import tensors

from truesparse import runtime
from truesparse.errors import UsageError
from truesparse.layers.output.spec import Softmax
from truesparse.model.loading import load_model
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.classifier.use import SavedClassifier
from truesparse.tasks.run import resume_run, train_model
from truesparse.tasks.sources import resolve
from truesparse.tasks.tagger.settings import TaggerConfig
from truesparse.training.calibration import calibration_error, fit_temperature, helps, with_temperature


def drawn(n: int = 4000, sharper: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities that are too sure, and labels."""
    rng = np.random.default_rng(1)
    true = with_temperature(rng.normal(0, 1.5, (n, 4)), 1.0)
    labels = (rng.random((n, 1)) > np.exp(true).cumsum(axis=1)).sum(axis=1)
    return with_temperature(true, 1 / sharper), labels


@pytest.mark.parametrize("sharper", [3.0, 0.4])
def test_the_temperature_is_found(sharper: float) -> None:
    said, labels = drawn(sharper=sharper)
    temperature = fit_temperature(said, labels)
    assert temperature == pytest.approx(sharper, rel=0.06)

    def loss(value: float) -> float:
        return -float(with_temperature(said, value)[np.arange(len(labels)), labels].mean())

    assert loss(temperature) < min(loss(temperature * 1.01), loss(temperature / 1.01))
    after = calibration_error(with_temperature(said, temperature), labels)
    assert after < 0.03 < 0.1 < calibration_error(said, labels)


def test_it_stays_within_bounds() -> None:
    said, _ = drawn(50)
    assert fit_temperature(said, said.argmax(axis=1)) == pytest.approx(0.1, rel=1e-3)
    assert fit_temperature(said, said.argmin(axis=1)) == pytest.approx(10, rel=1e-3)


def test_a_temperature_is_used_only_where_it_helps_labels_that_it_was_not_fitted_to() -> None:
    said, labels = drawn()
    for ordered in (False, True):
        assert helps(3.0, said, labels, ordered)
        assert not helps(3.0, said[:9], labels[:9], ordered)  # too few
        assert not helps(0.1, said, said.argmax(axis=1), ordered)  # all right: there is no best one
        assert not helps(10.0, said, labels, ordered)  # at a limit
    calm, right = drawn(200, sharper=1.0)  # as sure as they may be
    assert not helps(fit_temperature(calm, right), calm, right, ordered=False)
    # A fifth is much too sure: what its steps ask for helps their neighbours, but not other sequences.
    steps = np.concatenate([with_temperature(said[:80], 1 / 3), with_temperature(said[80:400], 3.0)])
    asked = fit_temperature(steps, labels[:400])
    assert helps(asked, steps, labels[:400], ordered=False)
    assert not helps(asked, steps, labels[:400], ordered=True)


def test_the_calibration_error_is_a_mean_over_bins() -> None:
    said, labels = drawn(300)
    sure, right = np.exp(said).max(axis=1), said.argmax(axis=1) == labels
    error = 0.0
    for k in range(15):
        there = (sure >= k / 15) & (sure < (k + 1) / 15 + (k == 14))
        if there.any():
            error += there.mean() * abs(right[there].mean() - sure[there].mean())
    assert calibration_error(said, labels) == pytest.approx(error, rel=1e-9)


def test_a_run_is_calibrated(labelled_file: Path, tmp_path: Path) -> None:
    given = {"hidden_size": 40, "epochs": 2, "batch_size": 8, "lr": 0.01, "dropout": 0.1}
    config = resolve(
        {"data": str(labelled_file), **given, "calibrate": True}, environment={}, task=ClassifierConfig
    )
    results = train_model(config, tmp_path / "run")
    file = tmp_path / "run" / "model.safetensors"
    saved = load_model(file)
    assert saved.model.chain.head.temperature == results["temperature"] != 1
    names = [f"{part}_calibration_error{when}" for part in ("valid", "test") for when in ("", "_before")]
    assert all(0 <= results[name] <= 1 for name in names)
    assert results["valid_calibration_error"] != results["valid_calibration_error_before"]
    assert "expected calibration error validation" in " ".join(ClassifierConfig.describe(results))
    texts = ["w3 awful w5", "great, w2", "w7 w7 so-so"]
    expected = SavedClassifier(saved).predict(texts)
    np.testing.assert_allclose(runtime.load_classifier(file).predict_proba(texts), expected, atol=1e-5)
    plain = train_model(
        resolve({"data": str(labelled_file), **given}, environment={}, task=ClassifierConfig),
        tmp_path / "plain",
    )
    assert plain["test_accuracy"] == results["test_accuracy"]  # no label changes
    assert tensors(tmp_path / "plain" / "model.safetensors") == tensors(file)
    before = file.read_bytes()
    again = resume_run(tmp_path / "run", {}, kind=ClassifierConfig)  # which has ended
    assert again["temperature"] == results["temperature"]
    assert file.read_bytes() == before


def test_a_tagger_is_calibrated(tagged_file: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"hidden_size": 40, "epochs": 1, "batch_size": 16, "calibrate": True}
    config = resolve({"data": str(tagged_file), **given}, environment={}, task=TaggerConfig)
    results = train_model(config, tmp_path / "run", test=False)
    assert load_model(tmp_path / "run" / "model.safetensors").model.chain.head.temperature != 1
    assert results["valid_calibration_error"] < results["valid_calibration_error_before"]
    assert "test_calibration_error" not in results


def test_what_has_no_temperature() -> None:
    with pytest.raises(UsageError, match=r"temperature of the layer softmax is 0\.0; it must be above 0"):
        Softmax(3, temperature=0)
    with pytest.raises(UsageError, match="an output layer that is tied to the embedding has no temperature"):
        Softmax(3, tied=True, temperature=2)
