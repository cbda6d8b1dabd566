"""HTML in which every text is escaped, whoever wrote it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from truesparse.training.pictures import drawable


class Markup(str):
    """HTML already; any other text becomes it by being escaped."""

    __slots__ = ()


def escaped(value: object) -> Markup:
    """Anything as HTML: what is `Markup` as it is, other texts in one line and escaped."""
    return value if isinstance(value, Markup) else Markup(html.escape(drawable(value)))


def joined(*parts: object) -> Markup:
    """Parts one after another."""
    return Markup("".join(map(escaped, parts)))


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """An element.

    Parameters
    ----------
    tag : str
    *children
        Texts and `Markup`.
    **attributes
        ``class_`` for ``class``, ``stroke_width`` for ``stroke-width``; None is left out.
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{given}>{joined(*children)}</{tag}>")


def table(headings: Sequence[object], rows: Sequence[Sequence[object]], left: int = 1) -> Markup:
    """A table that scrolls by itself where it is too wide; the first `left` columns are texts, the others
    numbers. Without headings it is one of facts, each named in the first column."""

    def cells(tag: str, row: Sequence[object]) -> Markup:
        kinds: list[Any] = [None if place < left else "number" for place in range(len(row))]
        return joined(*(element(tag, cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)))

    head = element("thead", element("tr", cells("th", headings))) if headings else Markup()
    body = element("tbody", *(element("tr", cells("td", row)) for row in rows))
    return element("div", element("table", head, body, class_=None if headings else "facts"), class_="wide")


def document(title: str, *children: object) -> str:
    """A whole page, which asks for nothing and lets nothing run."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = (
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escaped(title)}</title><style>{_STYLE}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{joined(*children)}</body></html>\n'


# Colours of lines: Okabe and Ito's, which people with any sight can tell apart; lighter on dark.
_STYLE = """
:root { --paper: #fff; --ink: #1d232b; --faint: #5c6773; --rule: #d9dfe5; --panel: #f5f7f9;
 --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b0568a; --c4: #8a6d00; --c5: #3a92c4; --c6: #6b6b6b; }
@media (prefers-color-scheme: dark) {
 :root { --paper: #15191e; --ink: #e4e8ec; --faint: #9aa5b1; --rule: #343c45; --panel: #1d2329;
  --c0: #56b4e9; --c1: #f2904a; --c2: #35c99b; --c3: #dd8fb9; --c4: #e0c341; --c5: #8fd0f5; --c6: #b5b5b5; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.2rem 1rem 3rem; background: var(--paper);
 color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.12rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem;
 border-bottom: 1px solid var(--rule); }
h3 { font-size: .95rem; margin: 1.2rem 0 .3rem; }
p { margin: .4rem 0; overflow-wrap: anywhere; max-width: 46rem; }
.faint, figcaption, th { color: var(--faint); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .6rem;
 margin: 1rem 0; }
.cards div { background: var(--panel); border: 1px solid var(--rule); border-radius: 6px;
 padding: .55rem .7rem; }
.cards b { display: block; font-size: 1.3rem; font-weight: 600; }
.cards span { color: var(--faint); font-size: .85rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr));
 gap: 0 1.6rem; align-items: start; }
.pair > * { min-width: 0; }
.wide { overflow-x: auto; margin: .3rem 0; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .18rem .9rem .18rem 0; unicode-bidi: isolate;
 border-bottom: 1px solid var(--rule); }
td { overflow-wrap: break-word; } .text, .facts td { overflow-wrap: anywhere; }
.facts td:first-child { white-space: nowrap; color: var(--faint); }
th { font-weight: 500; white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.text { min-width: 15rem; } td:first-child { min-width: 6.5rem; }
.bars { width: 100%; } .bars td:first-child { width: 34%; min-width: 6rem; }
.bars .bar { width: 60%; padding-right: .5rem; } .bar i { display: block; height: .8em; margin-top: .35em;
 min-width: 1px; background: var(--c0); border-radius: 2px; }
.heat td.number { padding: .18rem .55rem;
 background: color-mix(in srgb, var(--c0) calc(var(--share, 0) * 55%), transparent); }
.heat td.wrong { background: color-mix(in srgb, var(--c1) calc(var(--share, 0) * 70%), transparent); }
.heat th:first-child { padding-right: 1rem; }
mark { background: color-mix(in srgb, var(--c1) 28%, transparent); color: inherit; border-radius: 3px;
 padding: 0 .15em; }
figure { margin: .4rem 0 1rem; } figcaption { font-size: .85rem; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem .9rem; font-size: .85rem; overflow-wrap: anywhere; }
.legend svg { width: 1.6em; height: .7em; margin-right: .35em; }
svg { max-width: 100%; } svg.chart { display: block; width: 100%; height: auto; }
svg text { fill: var(--faint); font: 11px system-ui, "DejaVu Sans", sans-serif; }
svg .rule { stroke: var(--rule); stroke-width: 1; }
svg .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
svg .thin { stroke-width: .8; opacity: .55; }
.s0 { stroke: var(--c0); color: var(--c0); } .s1 { stroke: var(--c1); color: var(--c1); }
.s2 { stroke: var(--c2); color: var(--c2); } .s3 { stroke: var(--c3); color: var(--c3); }
.s4 { stroke: var(--c4); color: var(--c4); } .s5 { stroke: var(--c5); color: var(--c5); }
.s6 { stroke: var(--c6); color: var(--c6); }
svg circle { fill: currentColor; stroke: none; }
pre { background: var(--panel); border: 1px solid var(--rule); border-radius: 6px; padding: .6rem .8rem;
 overflow-x: auto; font: .85rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
@media print { body { max-width: none; } }
"""
