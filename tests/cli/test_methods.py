from __future__ import annotations

import json

import pytest

from truesparse.topology import METHODS, Method


def test_the_table_has_every_method_with_its_settings(run) -> None:
    result = run("methods")
    assert result.exit_code == 0
    names = [line.split()[0] for line in result.stdout.splitlines() if line[:1].islower()]
    assert set(METHODS) <= set(names)
    assert max(len(line) for line in result.stdout.splitlines()) <= 120
    for expected in ("--drop-fraction 0.3", "--update-interval 200", "3 f_D", "4 bytes a weight"):
        assert expected in result.stdout


def test_a_method_of_ones_own_is_listed(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "mine", Method("mine", "does what I want", defaults={"update_end": 0.5}))
    assert json.loads(run("methods", "--json").stdout)[-1] == {
        "name": "mine",
        "summary": "does what I want",
        "stores": "nothing",
        "training_flops": "3 f_S",
        "settings": {"update_end": 0.5},
    }
    assert "does what I want" in run("methods").stdout
