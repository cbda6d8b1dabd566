"""What the records beside a table say, and how tables write numbers."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS, DOCS = ROOT / "benchmarks" / "results", ROOT / "docs"
Record = dict[str, Any]
Row = list[str]  # cells, or what they must be; "" for words and numbers without a record


def records(name: str) -> list[Record]:
    text = (RESULTS / name).read_text(encoding="utf-8")
    lines = text.splitlines() if name.endswith("l") else [text]
    return [record for line in lines for record in _listed(json.loads(line))]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def ends(name: str) -> dict[str, Record]:
    """The last record of each run."""
    return {run["run"]: run["records"][-1] for run in records(f"{name}/runs.jsonl")}


def spread(values: list[float], scale: float = 100, digits: int = 1) -> str:
    return f"{scale * mean(values):.{digits}f} ± {scale * stdev(values):.{digits}f}"


def percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %"


def where(found: list[Record], **values: Any) -> list[Record]:
    chosen = [record for record in found if all(record[key] == value for key, value in values.items())]
    assert chosen, f"there is no record of {values}"
    return chosen
