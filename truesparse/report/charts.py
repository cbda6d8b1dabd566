"""Charts for pages of HTML: lines as SVG, bars as tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from truesparse.report.markup import Markup, element, joined

_COLORS = 7  # of the page's style
_DASHES = (None, "5 3", "2 2", "7 3 2 3")
# In units of the picture, which is as wide as a column of the page: texts stay readable on a phone.
_WIDTH, _HEIGHT = 400, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 34


@dataclass(frozen=True)
class Curve:
    """Points joined by a line.

    Attributes
    ----------
    name : str
        For the legend; empty for none.
    x, y : sequence of float
        Points whose y is not finite are left out.
    color : int
        Number of the color, from 0 on; beyond the colors there are, lines are dashed.
    dots : bool
        Whether each point is marked and says its value.
    thin : bool
        Whether the line is thin and pale.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: int = 0
    dots: bool = False
    thin: bool = False

    @property
    def points(self) -> list[tuple[float, float]]:
        """Those that can be drawn."""
        return [(x, y) for x, y in zip(self.x, self.y, strict=True) if math.isfinite(x) and math.isfinite(y)]


def line_chart(
    curves: Sequence[Curve],
    caption: str,
    x_label: str,
    log: bool = False,
    share: bool = False,
    top: float = math.inf,
) -> Markup:
    """Draw curves over each other, with a legend below.

    Parameters
    ----------
    curves : sequence of Curve
    caption : str
        Says what is drawn upwards.
    x_label : str
    log : bool
        Whether upwards is logarithmic, if all is above 0.
    share : bool
        Whether numbers are fractions, shown in percent.
    top : float
        What lies above is cut off.
    """
    points = [point for curve in curves for point in curve.points]
    if not points:
        return element("p", f"{caption}: nothing finite to draw.", class_="faint")
    xs, ys = [x for x, _ in points], [min(y, top) for _, y in points]
    log = log and min(ys) > 0
    across, upwards = _Axis(min(xs), max(xs), False), _Axis(min(ys), max(ys), log, not log)
    if share:  # which is never above 1
        upwards = _Axis(max(0.0, min(upwards.low, 0.9)), min(1.0, upwards.high), False)
    shown = _percent if share else _short
    inside = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + inside[0] * across.part(x), _TOP + inside[1] * (1 - upwards.part(min(y, top)))

    parts: list[Markup] = []
    for value in upwards.ticks(5):
        _, y = place(across.low, value)
        parts.append(element("path", class_="rule", d=f"M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"))
        parts.append(element("text", shown(value), x=_LEFT - 6, y=f"{y + 4:.1f}", text_anchor="end"))
    for value in across.ticks(6):
        x, _ = place(value, upwards.low)
        parts.append(element("text", _short(value), x=f"{x:.1f}", y=_HEIGHT - 18, text_anchor="middle"))
    parts.append(element("text", x_label, x=_LEFT + inside[0] / 2, y=_HEIGHT - 3, text_anchor="middle"))
    for curve in curves:
        parts += _drawn(curve, place, shown)
    picture = element(
        "svg", *parts, class_="chart", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=caption
    )
    legend = [joined(_sample(curve), curve.name) for curve in curves if curve.name]
    legend = [element("span", entry) for entry in legend] if len(legend) > 1 else []
    return element(
        "figure", element("figcaption", caption), picture, element("div", *legend, class_="legend")
    )


def bar_table(rows: Sequence[tuple[str, int]], most: int, unit: str) -> Markup:
    """A bar for each row, as long as its number; `most` is the longest one."""
    cells = [
        element(
            "tr",
            element("td", name),
            element("td", element("i", style=f"width:{100 * count / max(1, most):.1f}%"), class_="bar"),
            element("td", f"{count:,}", class_="number", title=unit),
        )
        for name, count in rows
    ]
    return element("table", *cells, class_="bars")


def _drawn(
    curve: Curve, place: Callable[[float, float], tuple[float, float]], shown: Callable[[float], str]
) -> list[Markup]:
    style = f"s{curve.color % _COLORS}"
    points = [(*place(x, y), x, y) for x, y in curve.points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in points)
    kind = f"line {style} thin" if curve.thin else f"line {style}"
    at_once = len({x for _, _, x, _ in points}) == 1  # as after one epoch: a line there has no length
    drawn = [] if at_once else [element("path", class_=kind, d=path, stroke_dasharray=_dash(curve))]
    if curve.dots or at_once:
        drawn += [
            element(
                "circle",
                element("title", f"{curve.name} {shown(y)} at {_short(x)}"),
                class_=style,
                cx=f"{left:.1f}",
                cy=f"{top:.1f}",
                r=2.6,
            )
            for left, top, x, y in points
        ]
    return drawn


def _sample(curve: Curve) -> Markup:
    """A piece of the line."""
    style = f"line s{curve.color % _COLORS}{' thin' if curve.thin else ''}"
    line = element("path", class_=style, d="M0 4H20", stroke_dasharray=_dash(curve))
    return element("svg", line, viewBox="0 0 20 8", aria_hidden="true")


def _dash(curve: Curve) -> str | None:
    return _DASHES[curve.color // _COLORS % len(_DASHES)]


class _Axis:
    """Where numbers lie between the ends of an axis."""

    def __init__(self, low: float, high: float, log: bool, room: bool = False) -> None:
        self.log = log
        if room:  # so that no line runs along the edge
            low = 0.0 if 0 <= low < 0.4 * high else low - 0.05 * (high - low)
            high += 0.05 * (high - low)
        elif log:
            low, high = low / 1.03, high * 1.03
        if not high > low:
            low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
            low = max(low, high / 10) if log else low
        self.low, self.high = low, high

    def part(self, value: float) -> float:
        """0 at the lower end and 1 at the upper one."""
        change = math.log if self.log else float
        low, high = change(self.low), change(self.high)
        return (change(value) - low) / (high - low)

    def ticks(self, count: int) -> list[float]:
        """About so many round numbers."""
        if self.log:
            for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.2, 1.5, 2, 3, 5, 7)):
                decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
                ticks = [step * 10.0**decade for decade in decades for step in steps]
                ticks = [tick for tick in ticks if self.low <= tick <= self.high]
                if len(ticks) >= 3:
                    return ticks[:: math.ceil(len(ticks) / (count + 2))]
        rough = (self.high - self.low) / count
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _percent(value: float) -> str:
    return f"{100 * value:.3g}%"
