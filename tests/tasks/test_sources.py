"""A configuration file together with another cell, optimizer or method than its own."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from truesparse.errors import UsageError
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.sources import resolve
from truesparse.training.config import Config

pytestmark = pytest.mark.usefixtures("command")


def resolved(
    tmp_path: Path,
    before: Mapping[str, Any],
    flags: Mapping[str, Any],
    task: type[Config] = LanguageModelConfig,
) -> Config:
    """What flags come to with the file that ``--print-config`` makes of other flags."""
    file = tmp_path / "c.toml"
    file.write_text(resolve(before, environment={}, task=task).filled().to_toml())
    return resolve(flags, file, {}, task).filled()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("before", "flags", "changed"),
    [
        ({}, {"method": "static"}, {}),
        ({}, {"method": "dense"}, {"density": 1.0}),
        ({"method": "dense"}, {"method": "set"}, {"density": 0.2, "drop_fraction": 0.3}),
        ({"method": "granet", "density": 0.1}, {"method": "snip"}, {"density": 0.1, "saliency_windows": 100}),
        ({"cell": "rhn", "depth": 4}, {"cell": "gru"}, {"depth": None, "reset_gate": "after"}),
        ({"cell": "gru", "dropout": 0.1}, {"cell": "rhn"}, {"depth": 10, "dropout_hidden": 0.1}),
        ({"gates": "separate"}, {"method": "rigl"}, {"gates": "separate", "update_interval": 0}),
        ({"gates": "separate"}, {"method": "dsr"}, {"gates": "fused"}),
        ({}, {"optimizer": "nt-asgd", "clip": 3.0}, {"momentum": None, "nonmonotone": 5, "clip": 3.0}),
    ],
)
def test_what_is_chosen_anew_goes_without_the_settings_of_the_other(
    tmp_path: Path, before: Mapping[str, Any], flags: Mapping[str, Any], changed: Mapping[str, Any]
) -> None:
    config = resolved(tmp_path, before, flags)
    expected = {**flags, **changed}
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.filterwarnings("ignore")
def test_what_a_method_leaves_no_choice_of_goes(tmp_path: Path) -> None:
    by_epsilon = {"distribution": "erdos-renyi", "er_epsilon": 9.0}
    assert resolved(tmp_path, by_epsilon, {"method": "snip"}).distribution == "uniform"
    assert resolved(tmp_path, by_epsilon, {"method": "rigl"}).er_epsilon == 9.0
    config = resolved(tmp_path, {"data": "x"}, {"method": "dsr"}, ClassifierConfig)
    assert (config.gates, config.optimizer, config.method) == ("fused", "adam", "dsr")


def test_a_line_tells_what_was_meant_and_goes_and_what_stays(tmp_path: Path) -> None:
    before = {"momentum": 0.5, "weight_decay": 1e-5}
    line = r"c.toml is for --optimizer sgd; adam is used without its momentum 0.5 and with its lr 2.0$"
    with pytest.warns(UserWarning, match=line):
        config = resolved(tmp_path, before, {"optimizer": "adam"})
    assert config.momentum is None
    assert (config.beta1, config.lr, config.weight_decay) == (0.9, 2.0, 1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolved(tmp_path, before, {"optimizer": "sgd"})
        resolved(tmp_path, {"method": "rigl"}, {"method": "static"})  # which lets only defaults go


@pytest.mark.filterwarnings("ignore")
def test_what_flags_and_the_file_itself_say_is_still_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--momentum does not go with --optimizer adam; leave it out"):
        resolved(tmp_path, {}, {"optimizer": "adam", "momentum": 0.5})
    with pytest.raises(UsageError, match=r"^--density 0.5 does not go with --method dense"):
        resolved(tmp_path, {}, {"method": "dense", "density": 0.5})
    with pytest.raises(UsageError, match="no optimizer 'adm'; did you mean adam"):
        resolved(tmp_path, {}, {"optimizer": "adm"})
    (tmp_path / "c.toml").write_text('optimizer = "adam"\nmomentum = 0.5\n')
    for flags in ({}, {"optimizer": "adam"}):
        with pytest.raises(UsageError, match=r"^--momentum does not go with --optimizer adam"):
            resolve(flags, tmp_path / "c.toml", {})


def test_the_command_line_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("momentum = 0.5\n")
    arguments = ["train", "lm", "--config", "c.toml", "--optimizer", "adam", "--print-config"]
    command = [sys.executable, "-m", "truesparse", *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert 'optimizer = "adam"' in result.stdout
    assert "\nmomentum" not in result.stdout
    assert result.stderr == (
        "truesparse: c.toml is for --optimizer sgd; adam is used without its momentum 0.5\n"
    )
