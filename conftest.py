"""How pytest collects, and how the tests are shared out between environments with few packages and with more.

``pytest --missed-to FILE`` writes which tests and modules asked for packages that are not installed, whether
they were skipped or did less; ``pytest --missed-from FILE`` runs those of them whose package is there now.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Generator, Iterable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest


class Missing(importlib.abc.MetaPathFinder):
    """The last of the finders, which is asked for what no other finds; it notes down who wanted it."""

    def __init__(self) -> None:
        self.wanted: set[tuple[str, str]] = set()
        self._by = ""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if self._by:
            self.wanted.add((name.partition(".")[0], self._by))

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        self._by = collector.nodeid
        try:
            return (yield)
        finally:
            self._by = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self._by = item.nodeid
        try:
            return (yield)
        finally:
            self._by = ""

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell the first process, if this is not it."""
        output = getattr(session.config, "workeroutput", {})
        output["wanted"] = sorted(self.wanted)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """What a process of several has found."""
        self.wanted.update(map(tuple, getattr(node, "workeroutput", {}).get("wanted", ())))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("truesparse")
    for flag, verb in (("--missed-to", "write"), ("--missed-from", "run only")):
        group.addoption(
            flag, metavar="FILE", type=Path, help=f"{verb} the tests that lacked a package; see conftest.py"
        )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("missed_to"):
        missing = Missing()
        sys.meta_path.append(missing)
        config.pluginmanager.register(missing, "missing")


def pytest_unconfigure(config: pytest.Config) -> None:
    missing = config.pluginmanager.get_plugin("missing")
    if missing is None:
        return
    sys.meta_path.remove(missing)
    if hasattr(config, "workerinput"):
        return  # the first process writes for all
    installed = packages_distributions()  # some ask for modules that their version of a package lacks
    lines = (f"{name}\t{by}\n" for name, by in sorted(missing.wanted) if name not in installed)
    config.getoption("missed_to").write_text("".join(lines), encoding="utf-8")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    path = config.getoption("missed_from")
    if path is None:
        return
    installed = packages_distributions()
    lines = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    names = {by for package, by in lines if package in installed}
    chosen = [item for item in items if not names.isdisjoint(_names(item))]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def _names(item: pytest.Item) -> Iterable[str]:
    """The test, and the module it is in."""
    return item.nodeid, item.nodeid.partition("::")[0]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Take a module that cannot be imported, such as one that needs PyTorch, out of ``sys.modules``.

    Pytest leaves half of it there, and of the package that it is in, which whoever imports them next would be
    given without an error.
    """
    before = {*sys.modules}
    report = yield
    if isinstance(collector, pytest.Module) and not report.passed:
        halves = {str(collector.path), str(collector.path.parent / "__init__.py")}
        for name, module in list(sys.modules.items()):
            if name not in before and getattr(module, "__file__", None) in halves:
                del sys.modules[name]
    return report
