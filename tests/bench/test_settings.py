from __future__ import annotations

import os

import pytest

from truesparse.bench import environment, memory, settings
from truesparse.bench.monitor import Monitor
from truesparse.errors import UsageError

pytestmark = pytest.mark.usefixtures("command")


def test_lists():
    assert settings.densities("0.33, 0.2,0.2,1") == [0.33, 0.2, 1.0]
    assert settings.positive("20,64", "--lanes") == [20, 64]
    assert settings.shapes("6000x1500, 8X4", "--shape") == [(6000, 1500), (8, 4)]


@pytest.mark.parametrize("text", ["0", "1.5", "-0.1", "nan", "0.2,2"])
def test_densities_out_of_range(text):
    with pytest.raises(UsageError, match="--density must lie above 0 and be at most 1, not"):
        settings.densities(text)


@pytest.mark.parametrize("text", ["", "a", "0.2;0.1", "0.2,x"])
def test_what_is_no_list(text):
    with pytest.raises(UsageError, match="numbers with commas"):
        settings.densities(text)
    with pytest.raises(UsageError, match="numbers with commas"):
        settings.positive(text or "1.5", "--lanes")
    with pytest.raises(UsageError, match="as in 6000x1500"):
        settings.shapes(text, "--shape")


def test_numbers_below_one():
    with pytest.raises(UsageError, match="--lanes must be at least 1, not 0"):
        settings.positive("20,0", "--lanes")
    with pytest.raises(UsageError, match="--repeats"):
        settings.conditions(1, 0, 0.1)


def test_threads():
    cores = settings.available_cores()
    assert settings.conditions(0, 1, 0.1).threads == cores
    with pytest.raises(UsageError, match="available cores"):
        settings.conditions(cores + 1, 1, 0.1)


def test_baselines(monkeypatch):
    monkeypatch.setattr(settings, "installed", lambda package: package != "torch")
    assert settings.baselines(None, settings.STEP) == {"numpy": ""}
    assert settings.unmasked(None) == {"numpy-dense": ""}
    assert "torch is not installed" in settings.unmasked("all")["torch-dense"]
    monkeypatch.setattr(settings, "installed", lambda package: True)
    for has, more in ((True, ["torch-dense-bf16"]), (False, [])):
        monkeypatch.setattr(settings, "has_bfloat16", lambda has=has: has)
        assert list(settings.unmasked(None)) == ["torch-dense", *more]
    assert settings.unmasked("torch-dense-bf16") == {"torch-dense-bf16": ""}
    with pytest.raises(UsageError, match="not 'torch'"):
        settings.unmasked("torch")
    monkeypatch.setattr(settings, "installed", lambda package: package != "torch")
    with pytest.raises(UsageError, match=r"torch is not installed; install it with: pip install .truesparse"):
        settings.baselines("numpy,torch-bf16", settings.STEP)
    with pytest.raises(UsageError, match="not 'jax'"):
        settings.baselines("jax", settings.STEP)
    with pytest.raises(UsageError, match="not 'torch-bf16'"):
        settings.baselines("torch-bf16", settings.INFERENCE)
    with pytest.raises(UsageError, match="needs a name"):
        settings.baselines(",", settings.STEP)
    everyone = settings.baselines("all", settings.STEP)
    assert list(everyone) == list(settings.STEP)
    assert [name for name, reason in everyone.items() if not reason] == ["numpy", "numpy-dense"]
    assert everyone["torch-dense"].startswith("torch is not installed; install it with: pip")
    assert list(settings.baselines("all", settings.EPOCH)) == [*settings.EPOCH[:-1]]
    monkeypatch.setattr(settings, "installed", lambda package: True)
    assert settings.baselines(None, settings.STEP) == {"torch": "", "numpy": ""}
    assert settings.baselines("numpy,torch-dense", settings.STEP) == {"numpy": "", "torch-dense": ""}


@pytest.mark.parametrize(
    ("there", "names"),
    [
        ({"keras", "tensorflow", "jax", "torch"}, ["keras-tensorflow", "keras-jax"]),
        ({"keras", "jax"}, ["keras-jax"]),
        ({"keras", "torch"}, ["keras-torch"]),
    ],
)
def test_keras_runs_on_what_there_is(monkeypatch, there, names):
    monkeypatch.setattr(settings, "installed", there.__contains__)
    assert list(settings.baselines("keras", settings.EPOCH)) == names
    with pytest.raises(UsageError, match="--baseline knows"):
        settings.baselines("keras", settings.STEP)


@pytest.mark.parametrize(
    ("there", "text", "sentence"),
    [
        (set(), "keras", "baseline keras cannot be measured: it is not installed; .* pip install keras"),
        ({"keras"}, "keras", "neither TensorFlow nor JAX; install it with: pip install keras tensorflow"),
        ({"keras"}, "keras-jax", "jax is not installed; install it with: pip install jax"),
        ({"jax"}, "keras-jax", "keras is not installed; install it with: pip install keras"),
    ],
)
def test_keras_that_is_missing(monkeypatch, there, text, sentence):
    monkeypatch.setattr(settings, "installed", there.__contains__)
    with pytest.raises(UsageError, match=sentence):
        settings.baselines(text, settings.EPOCH)


def test_outputs_are_checked_before_measuring(tmp_path, monkeypatch):
    settings.check_outputs(tmp_path / "a.json", None)
    with pytest.raises(UsageError, match="there is no folder"):
        settings.check_outputs(tmp_path / "no" / "a.json", None)
    with pytest.raises(UsageError, match=r"must end in .png, .svg or .pdf"):
        settings.check_outputs(None, tmp_path / "a")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs matplotlib; install it with: pip install"):
        settings.check_outputs(None, tmp_path / "a.png")


def test_memory_is_asked_for_before_it_is_taken(monkeypatch):
    notes = []

    class Notes(Monitor):
        def note(self, text: str) -> None:
            notes.append(text)

    assert memory.fits("a small thing", 1, Notes())
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**9)
    assert not memory.fits("the masked PyTorch model", 2 * 10**9, Notes())
    assert notes == [
        "the masked PyTorch model is left out: it needs about 2.0 GB of memory, and 1.0 GB are free"
    ]


def test_memory_of_this_process():
    assert 10**6 < memory.resident_bytes() <= memory.peak_bytes() * 1.01
    memory.reset_peak()
    before = memory.resident_bytes()
    block = bytearray(50_000_000)
    assert memory.peak_bytes() > before + 40_000_000
    del block
    assert memory.available_bytes() > 10**6


def test_other_programs_are_noticed():
    busy = environment.busy_cores(0.05)
    assert busy is None or 0 <= busy <= (os.cpu_count() or 1)
    assert environment.busy_note({"busy_before": 0.01}) is None
    assert environment.busy_note({"busy_before": None}) is None
    assert "kept 1.5 cores busy before the start" in environment.busy_note({"busy_before": 1.5})


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 0.0])
def test_turns_end(seconds):
    with pytest.raises(UsageError, match="--seconds must be above 0 and finite"):
        settings.conditions(1, 1, seconds)


@pytest.mark.parametrize("digits", [400, 5000])
def test_sizes_beyond_all_sizes(digits):
    with pytest.raises(UsageError, match=r"--lanes must be") as error:
        settings.positive("9" * digits, "--lanes")
    assert len(str(error.value)) < 200
    with pytest.raises(UsageError, match="as in 6000x1500"):
        settings.shapes("9" * digits + "x3", "--shape")
