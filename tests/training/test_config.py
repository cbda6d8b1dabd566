from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from truesparse.errors import UsageError
from truesparse.layers import registry
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.registry import cells, register
from truesparse.layers.rhn.spec import RHN
from truesparse.settings import Settings, kind_of, setting
from truesparse.tasks.lm.settings import PRESETS, LanguageModelConfig
from truesparse.tasks.sources import resolve
from truesparse.topology import DISTRIBUTIONS, METHODS, Method

pytestmark = pytest.mark.usefixtures("command")


def test_flags_beat_environment_beat_file_beat_preset_beat_default(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("layers = 3\nbptt = 30\nseed = 30\n")
    environment = {"TRUESPARSE_BPTT": "20", "TRUESPARSE_SEED": "20"}
    config = resolve({"seed": 10, "preset": "ptb-small", "lr": None}, file, environment)
    assert (config.seed, config.bptt, config.layers, config.hidden_size) == (10, 20, 3, 200)
    assert config.lr == LanguageModelConfig.fields()["lr"].default


@pytest.mark.parametrize("source", ["file", "environment"])
def test_the_preset_may_come_from_anywhere(source: str, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('preset = "ptb-large"\n' if source == "file" else "")
    environment = {"TRUESPARSE_PRESET": "ptb-large"} if source == "environment" else {}
    assert resolve({}, file, environment).hidden_size == 1500


def test_every_preset_is_valid_and_demo_is_the_default() -> None:
    assert resolve({}, environment={}) == LanguageModelConfig() == LanguageModelConfig(**PRESETS["demo"])
    for name in PRESETS:
        assert resolve({"preset": name}, environment={}).preset == name


def test_a_preset_does_not_speak_of_a_method_it_does_not_have() -> None:
    assert resolve({"preset": "ptb-large"}, environment={}).drop_fraction == 0.8
    assert resolve({"preset": "ptb-large", "method": "set"}, environment={}).filled().drop_fraction == 0.3
    assert resolve({"preset": "ptb-large", "method": "static"}, environment={}).drop_fraction is None
    assert resolve({"preset": "ptb-rhn", "cell": "lstm"}, environment={}).depth is None
    small = {"preset": "ptb-small"}
    assert resolve(small, environment={}).filled().lr_density_exponent == 1
    for other in ({"cell": "gru"}, {"optimizer": "adam"}):
        assert resolve({**small, **other}, environment={}).filled().lr_density_exponent == 0
    given = resolve({"preset": "ptb-large", "method": "set", "drop_fraction": 0.7}, environment={})
    assert given.filled().drop_fraction == 0.7


@pytest.mark.parametrize("method", METHODS)
def test_every_method_fills_in_its_settings(method: str) -> None:
    filled = LanguageModelConfig(method=method).filled()
    assert {name: getattr(filled, name) for name in METHODS[method].defaults} == METHODS[method].defaults
    assert filled.filled() == filled


def test_toml_round_trip(tmp_path: Path) -> None:
    config = LanguageModelConfig(
        data='a "b"\\ü', tied=True, embedding_size=256, lr=1e-9, init_scale=0.1, clip=1e22
    )
    file = tmp_path / "c.toml"
    file.write_text(config.to_toml(), encoding="utf-8")
    assert LanguageModelConfig.from_dict(LanguageModelConfig.load_toml(file)) == config
    assert resolve({}, file, {}) == config


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("off", False), ("false", False)])
def test_booleans_from_the_environment(text: str, value: bool) -> None:
    assert resolve({}, environment={"TRUESPARSE_TIED": text}).tied is value


@pytest.mark.parametrize(
    ("name", "text"),
    [("TIED", "maybe"), ("LAYERS", "1.5"), ("DENSITY", "a tenth"), ("LAYERS", ""), ("DENSITY", "2")],
)
def test_a_bad_environment_variable_is_named(name: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"TRUESPARSE_{name}"):
        resolve({}, environment={f"TRUESPARSE_{name}": text})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"density": 0.0}, "--density is 0.0; it must be above 0 and at most 1"),
        ({"density": 1.5}, "--density"),
        ({"density": math.nan}, "--density"),
        ({"lr": math.inf}, "--lr is inf; it must be above 0 and at most 3e+38"),
        ({"lr": -1.0}, "--lr is -1.0; it must be above 0$"),
        ({"hidden_size": 10**20}, "it must be at least 1 and at most 1e+09"),
        ({"batch_size": 0}, "--batch-size is 0; it must be at least 1"),
        ({"bptt": 0}, "--bptt"),
        ({"dropout": 1.0}, "--dropout is 1.0; it must be at least 0 and below 1"),
        ({"lr_decay": 0.5}, "--lr-decay"),
        ({"epochs": 1.5}, "--epochs is 1.5; it must be a whole number"),
        ({"layers": True}, "--layers is True; it must be a whole number"),
        ({"tied": 1}, "--tied is 1; it must be true or false"),
        ({"level": "syllable"}, "--level is 'syllable'; it must be word, char or subword"),
        ({"optimizer": "sgdd"}, "no optimizer 'sgdd'; did you mean sgd"),
        (
            {"preset": "ptb"},
            "--preset is 'ptb'; it must be demo, ptb-small, ptb-medium, ptb-large, ptb-rhn, ptb-awd or ptb-",
        ),
        ({"method": "strnn"}, "st-rnn"),
        ({"drop_fraction": 1.0}, "--drop-fraction is 1.0; it must be at least 0 and below 1"),
        ({"drop_fraction": -0.1}, "--drop-fraction is -0.1; it must be at least 0"),
        ({"method": "static", "update_interval": 5}, "--update-interval does not go with --method static"),
        ({"l1": 0.1}, "--l1 does not go with --method st-rnn; leave it out"),
        (
            {"method": "selfish", "gates": "separate"},
            "--gates separate does not go with --method selfish, which lets the gates of a cell compete",
        ),
        ({"method": "dsr", "gates": "separate"}, "which moves weights between matrices"),
        (
            {"method": "dense", "density": 0.1},
            "--density 0.1 does not go with --method dense, whose density is 1",
        ),
        (
            {"method": "dense", "er_epsilon": 9.0, "distribution": "erdos-renyi"},
            "--er-epsilon 9 does not go with --method dense, whose density is 1; leave one of the two out",
        ),
        ({"er_epsilon": 9.0}, "--er-epsilon does not go with --distribution uniform; use --density, or"),
        (
            {"er_epsilon": 9.0, "density": 0.1, "distribution": "erdos-renyi"},
            "--er-epsilon does not go with --density",
        ),
        ({"er_epsilon": 0.0}, "--er-epsilon is 0.0; it must be above 0"),
        (
            {"redistribute": "momentum", "gates": "separate"},
            "--gates separate does not go with --redistribute momentum, which moves weights between whole",
        ),
        (
            {"redistribute": "momentum", "momentum": 0.0},
            "the optimizer keeps none; use --optimizer sgd with a --momentum above 0, or adam with a --beta1",
        ),
        ({"redistribute": "momentum", "optimizer": "snt-asgd"}, "and the optimizer keeps none"),
        (
            {"redistribute": "momentum", "method": "snfs"},
            "--redistribute does not go with --method snfs; leave it out",
        ),
        ({"redistribute": "mean"}, "--redistribute is 'mean'; it must be method or momentum"),
        ({"method": "snfs", "gates": "separate"}, "which moves weights between matrices"),
        ({"method": "snip", "gates": "separate"}, "which shares out the weights over the whole model"),
        (
            {"method": "snip", "distribution": "erdos-renyi"},
            "--distribution erdos-renyi does not go with --method snip",
        ),
        ({"method": "snip", "drop_fraction": 0.3}, "--drop-fraction does not go with --method snip"),
        ({"method": "rigl", "saliency_windows": 3}, "--saliency-windows does not go with --method rigl"),
        ({"tied": True, "embedding_size": 10}, "--tied"),
        ({"data": 3}, "--data is 3; it must be text"),
        ({"cell": "qrnn"}, "--cell is 'qrnn'; it must be lstm, gru, rhn or on-lstm"),
        ({"cell": "gru", "reset_gate": "never"}, "--reset-gate is 'never'; it must be after or before"),
        ({"reset_gate": "after"}, "--reset-gate does not go with --cell lstm"),
        ({"cell": "gru", "depth": 3}, "--depth does not go with --cell gru"),
        ({"depth": 3}, "--depth does not go with --cell lstm; leave it out"),
        ({"dropout_hidden": 0.0}, "--dropout-hidden does not go with --cell lstm"),
        ({"cell": "rhn", "depth": 0}, "--depth is 0; it must be at least 1"),
        ({"cell": "rhn", "transform_bias": math.inf}, "--transform-bias"),
    ],
)
def test_bad_values(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(").replace("+", r"\+")):
        LanguageModelConfig(**changes)  # type: ignore[arg-type]


def test_whole_numbers_serve_as_fractions() -> None:
    assert isinstance(LanguageModelConfig(lr=2).lr, float)


def test_the_density_that_is_not_given() -> None:
    assert LanguageModelConfig().filled().density == 0.2
    assert LanguageModelConfig(method="dense").filled().density == 1.0
    assert LanguageModelConfig(method="dense", density=1.0).filled().density == 1.0
    assert resolve({"preset": "ptb-large"}, environment={}).density == 0.33
    assert resolve({"preset": "ptb-large", "method": "dense"}, environment={}).filled().density == 1.0
    by_epsilon = {"preset": "ptb-large", "distribution": "erdos-renyi", "er_epsilon": 10.0}
    assert resolve(by_epsilon, environment={}).filled().density is None


@pytest.mark.parametrize(
    ("variable", "hint"),
    [("DENSTY", r"; did you mean TRUESPARSE_DENSITY\?"), ("OTU", "TRUESPARSE_OUT"), ("XQZ", "; unset it")],
)
def test_an_unknown_environment_variable_is_refused(variable: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"TRUESPARSE_{variable} is no setting of truesparse.*{hint}"):
        resolve({}, environment={f"TRUESPARSE_{variable}": "1"})
    assert (
        resolve({}, environment={"TRUESPARSE_OUT": "a", "TRUESPARSE_CONFIG": "b", "X": "1"})
        == LanguageModelConfig()
    )


def test_the_defaults_of_a_cell() -> None:
    config = LanguageModelConfig(cell="rhn", dropout=0.3, dropout_hidden=0.1).filled()
    assert (config.depth, config.transform_bias) == (10, RHN(1).transform_bias)
    rates = config.dropout_embedding, config.dropout_input, config.dropout_hidden, config.dropout_output
    assert rates == (0.3, 0.3, 0.1, 0.3)
    assert config.filled() == config


def test_an_unknown_key_gets_the_nearest_name(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("hiden_size = 3\n")
    with pytest.raises(
        UsageError, match=r"c.toml has the unknown key 'hiden_size'; did you mean hidden_size\?"
    ):
        resolve({}, file, {})
    file.write_text("zzz = 3\n")
    with pytest.raises(UsageError, match="the keys are data, preset, level"):
        resolve({}, file, {})


def test_a_file_that_is_missing_or_not_toml(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        LanguageModelConfig.load_toml(tmp_path / "none.toml")
    file = tmp_path / "c.toml"
    file.write_text("density: 0.2\n")
    with pytest.raises(UsageError, match="is not TOML"):
        LanguageModelConfig.load_toml(file)
    file.write_bytes(b'data = "\xff"\n')
    with pytest.raises(UsageError, match="is not TOML, which is text"):
        LanguageModelConfig.load_toml(file)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('density = "0.1"', "density in .*c.toml is '0.1'; it must be a number"),
        ("density = 2", "density in .*c.toml is 2.0; it must be above 0 and at most 1"),
        ('preset = ["demo"]', "preset in .*c.toml is .*; it must be text"),
    ],
)
def test_a_bad_value_in_a_file_is_placed(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "c.toml").write_text(line)
    with pytest.raises(UsageError, match=message):
        resolve({}, tmp_path / "c.toml", {})


def test_every_field_has_help_and_a_type() -> None:
    for field in dataclasses.fields(LanguageModelConfig):
        assert field.metadata["help"].endswith(".")
        assert field.default is None or type(field.default) is kind_of(field)
        assert field.default is not None or field.metadata["shown"]


def test_the_choices_are_those_there_are() -> None:
    assert LanguageModelConfig.fields()["distribution"].metadata["choices"] == DISTRIBUTIONS
    assert LanguageModelConfig.fields()["cell"].metadata["choices"] == list(cells())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lr = " + "9" * 400, r"lr in \S+ is inf; it must be above 0 and at most 3e\+38$"),
        ("lr = -" + "9" * 400, r"lr in \S+ is -inf; it must be above 0$"),
        ("lr = 1e999", r"lr in \S+ is inf; it must be"),
        ("lr = nan", r"lr in \S+ is nan; it must be"),
        (
            "hidden_size = " + "9" * 400,
            r"is 9{80}\.\.\. \(400 characters\); it must be at least 1 and at most",
        ),
        ("hidden_size = " + "9" * 5000, r"has a number or a nesting beyond all sizes; write lines such as"),
        ("hidden_size = 0x" + "f" * 5000, r"is a number of thousands of digits; it must be at least 1"),
        ("method = [0x" + "f" * 5000 + "]", r"is a value beyond all sizes; it must be text"),
        ("a = " + "[" * 5000, r"has a number or a nesting beyond all sizes; write lines such as"),
    ],
    ids=lambda value: value[:20],
)
def test_numbers_that_python_does_not_convert(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "c.toml").write_text(line)
    with pytest.raises(UsageError, match=message):
        LanguageModelConfig.load_toml(tmp_path / "c.toml")


def test_a_task_that_is_no_name(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("task = ['lm']")
    with pytest.raises(UsageError, match=r"is for truesparse train \['lm'\], not for truesparse train lm"):
        LanguageModelConfig.load_toml(tmp_path / "c.toml")


@dataclass(frozen=True, kw_only=True)
class OwnSettings(Settings):
    strength: float = setting(0.25, "How much.", low=0)


def test_what_is_registered_later_has_its_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method, and a cell, with settings for which the configuration has no fields."""
    monkeypatch.setitem(METHODS, "mine", Method("mine", "what I want", settings=OwnSettings))
    filled = LanguageModelConfig(method="mine").filled()
    assert filled.settings_of("method") == {"strength": 0.25}
    assert LanguageModelConfig().filled().method == "st-rnn"

    @dataclass(frozen=True)
    class Mine(LSTM):
        TYPE: ClassVar[str] = "mine"
        slope: float = setting(0.5, "How steep.", low=0)

    monkeypatch.setattr(registry, "LAYERS", {**registry.LAYERS})
    monkeypatch.setattr(registry, "CELLS", registry.CELLS)
    register(Mine)
    try:
        assert LanguageModelConfig(cell="mine").filled().cell_settings()["slope"] == 0.5
        assert "slope" not in LanguageModelConfig().filled().cell_settings()
    finally:
        registry.CELLS.remove("mine")
