"""Add a run to a file of results: python benchmarks/record.py FILE.jsonl RESULT [COMMAND]

RESULT is what `truesparse bench ... --json RESULT` wrote, and COMMAND what was typed; or RESULT is the folder
of a training run, whose configuration says that.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

from truesparse.training.environment import machine_of


def line(result: Path, command: str = "") -> dict[str, Any]:
    """What the file gets: a run with its date, the commit of the code, and where it ran."""
    if result.is_dir():
        parts = {
            "environment": json.loads((result / "environment.json").read_text()),
            "config": tomllib.loads((result / "config.toml").read_text()),
        }
        records = [json.loads(text) for text in (result / "metrics.jsonl").read_text().splitlines()]
    else:
        records = json.loads(result.read_text())
        parts = taken_out(records)
    return {
        "run": result.name.removesuffix(".json"),
        **({"command": command} if command else {}),
        "date": date.today().isoformat(),
        "commit": git("describe", "--always", "--dirty"),
        "processor": machine_of(parts["environment"]),
        **parts,
        "records": records,
    }


def taken_out(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the objects in all records have in common, such as the versions in `environment`; they lose it."""
    first, common = records[0], {}
    for key in [key for key, value in first.items() if isinstance(value, dict)]:
        items = {k: v for k, v in first[key].items() if all(r.get(key, {}).get(k) == v for r in records)}
        if not items:
            continue
        common[key] = items
        for record in records:
            own = {k: v for k, v in record.pop(key).items() if k not in items}
            if own:
                record[key] = own
    return common


def git(*arguments: str) -> str:
    """What git says of the tree that this script lies in."""
    folder = Path(__file__).parent
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    file, result, *command = sys.argv[1:]
    text = json.dumps(line(Path(result), *command))
    with open(file, "a") as results:
        print(text, file=results)
