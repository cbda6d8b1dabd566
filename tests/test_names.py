"""The names of ``import truesparse``."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import truesparse as ts
from truesparse.layers.registry import LAYERS
from truesparse.optim import OPTIMIZERS
from truesparse.topology import METHODS

DOCS = Path(__file__).parents[1] / "docs" / "api.md"


def test_importing_takes_nothing() -> None:
    code = "import sys, truesparse; print({'numpy', 'numba', 'scipy', 'click'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_every_name_is_there_and_documented() -> None:
    listed = r"^(?:\|.*|- .*(?:\n  .*)*)$"  # rows of tables, and items with the lines that continue them
    headings = " ".join(re.findall(listed, DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    for name in ts.__all__:
        assert getattr(ts, name) is not None
        assert f"`{name}" in headings


def test_types_of_every_name_are_checked() -> None:
    """`make types` checks the script as strictly as a user may."""
    pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")
    script = Path(__file__).with_name("typed_script.py").read_text(encoding="utf-8")
    for package, alias in {
        "": "ts.",
        ".sklearn": "",
        ".runtime": "runtime.",
        ".topology": "topology.",
    }.items():
        names = importlib.import_module("truesparse" + package).__all__
        missing = [name for name in names if not re.search(rf"\b{re.escape(alias)}{name}\b", script)]
        assert set(missing) <= {"Method", "register"}, package  # of ts, which has them as well


@pytest.mark.parametrize(
    "package",
    ["truesparse", "truesparse.export", "truesparse.model", "truesparse.optim", "truesparse.topology"],
)
def test_packages_have_the_names_that_type_checkers_see(package: str) -> None:
    module = importlib.import_module(package)
    block = inspect.getsource(module).partition("if TYPE_CHECKING:\n")[2].partition("\n__all__")[0]
    imported = re.findall(r"^    from \S+ import (\w+) as \1$", block, re.MULTILINE)
    assigned = re.findall(r"^    (\w+) = \w+$", block, re.MULTILINE)
    assert module.__all__ == sorted([*imported, *assigned])
    assert all(getattr(module, name) is not None for name in module.__all__)
    assert "AdamSettings" not in module.__all__


def test_every_layer_and_optimizer_has_a_name() -> None:
    for spec in LAYERS.values():
        if spec.__module__.startswith("truesparse."):
            assert getattr(ts, spec.__name__) is spec
    for name, settings in OPTIMIZERS.items():
        assert getattr(ts, name.replace("-", "_")) is settings


def test_every_method_takes_its_settings() -> None:
    for name, method in METHODS.items():
        assert ts.method(name) == method
        assert ts.method(name, **method.defaults) == method
    assert ts.method("rigl", update_interval=7).defaults["update_interval"] == 7
    assert ts.method("deepr", noise=0.5).defaults["noise"] == 0.5
    assert METHODS["rigl"].defaults["update_interval"] == 100


def test_names_that_are_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'truesparse' has no attribute 'Lstm'"):
        ts.Lstm  # noqa: B018
    with pytest.raises(ts.UsageError, match="there is no method 'rigel'; did you mean rigl"):
        ts.method("rigel")
    with pytest.raises(ts.UsageError, match="the method set has no setting 'interval'; it has drop_fraction"):
        ts.method("set", interval=3)
    with pytest.raises(ts.UsageError, match=r"drop_fraction is 1\.5; it must be at least 0 and below 1"):
        ts.method("set", drop_fraction=1.5)
