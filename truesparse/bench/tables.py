"""What all reports make their tables of."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

MISSING = "–"


def new_table(title: str, headings: Sequence[str]) -> Table:
    """A table with headings."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    add_columns(table, headings)
    return table


def add_columns(table: Table, headings: Sequence[str]) -> None:
    """Add columns of numbers."""
    for heading in headings:
        table.add_column(heading, justify="right")


def three_digits(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return MISSING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def quartile_range(bounds: Sequence[float] | None) -> str:
    """From one quartile to the other."""
    return MISSING if bounds is None else f"{three_digits(bounds[0])}–{three_digits(bounds[1])}"


def as_many_times(ratio: float | None, bold_below_one: bool = False) -> str:
    """Such as 2.31×."""
    if ratio is None:
        return MISSING
    text = f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.1f}×"
    return f"[bold]{text}[/bold]" if bold_below_one and ratio < 1 else text


def two_places(value: float | None) -> str:
    """Such as 0.25."""
    return MISSING if value is None else f"{value:.2f}"


def in_megabytes(value: float | None) -> str:
    """Bytes in whole megabytes."""
    return MISSING if value is None else f"{value / 1e6:,.0f}"
