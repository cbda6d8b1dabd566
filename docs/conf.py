"""How Sphinx builds the site: ``make docs``.

The pages are the Markdown files of the whole repository as they stand, so a link works on a code host and on
the site. This file adds what only the site has: a menu, made of the lists in docs/index.md, and the reference
of the public names, made of their docstrings.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from truesparse.layers.spec import LayerSpec
from truesparse.settings import Settings
from truesparse.version import __version__

ROOT = Path(__file__).parents[1]
PACKAGES = ("truesparse", "truesparse.sklearn", "truesparse.runtime", "truesparse.topology")

# Methods that scikit-learn adds to every estimator, whose docstrings link to its own pages.
ROUTING = "   :exclude-members: " + ", ".join(
    f"set_{name}_request" for name in ("fit", "partial_fit", "predict", "score")
)

project = "truesparse"
author = "The truesparse developers"
release = version = __version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]
root_doc = "docs/index"
include_patterns = ["docs/**", "benchmarks/**.md", "examples/README.md", "*.md"]
exclude_patterns = ["**/.venv", "build"]
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
suppress_warnings = ["myst.header"]
numpydoc_show_class_members = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"truesparse {__version__}"
html_extra_path = ["site"]


def menu(text: str) -> str:
    """The pages that each section of docs/index.md lists, as hidden tables of contents."""
    trees = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        links = re.findall(r"^- \[([^]]+)\]\(([^)#:]+)\.md\)", section, re.MULTILINE)
        pages = [f"{name} <{page}>" for name, page in links]
        if title == "Reference":
            pages += [f"reference/{package}" for package in PACKAGES]
        trees.append("\n".join(["```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```"]))
    return "\n\n".join([text, *trees])


def settings(kind: type) -> list[str]:
    """A list of the settings of an optimizer, with their texts."""
    if not issubclass(kind, Settings):
        return []
    texts = {field.name: field.metadata["help"] for field in dataclasses.fields(kind)}
    return ["   Settings:", "", *(f"   - ``{name}``: {text}" for name, text in texts.items()), ""]


def reference(package: str) -> str:
    """A page on the public names of a package."""
    module = import_module(package)
    lines = [package, "=" * len(package), "", f".. automodule:: {package}", ""]
    for name in sorted(module.__all__, key=str.lower):
        value = getattr(module, name)
        if package != PACKAGES[0] and name in import_module(PACKAGES[0]).__all__:
            continue  # the first page has it
        if inspect.isclass(value):
            if value.__name__ != name:  # of which Sphinx would say no more than that it is an alias
                lines += [f"``{package}.{name}`` is the class", ""]
            path = f"{package}.{name}" if value.__name__ == name else f"{value.__module__}.{value.__name__}"
            members = [] if issubclass(value, (LayerSpec, Settings)) else ["   :members:", ROUTING]
            lines += [f".. autoclass:: {path}", *members, "", *settings(value)]
        elif callable(value):
            lines += [f".. autofunction:: {package}.{name}", ""]
    return "\n".join(lines)


def write_reference(app: Any) -> None:
    """Write the pages of the reference, which are not kept."""
    folder = ROOT / "docs" / "reference"
    folder.mkdir(exist_ok=True)
    for package in PACKAGES:
        page, text = folder / f"{package}.rst", reference(package)
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def add_menu(app: Any, page: str, source: list[str]) -> None:
    """Give the first page its menu."""
    if page == root_doc:
        source[0] = menu(source[0])


def setup(app: Any) -> None:
    """Connect the functions above."""
    app.connect("builder-inited", write_reference)
    app.connect("source-read", add_menu)
