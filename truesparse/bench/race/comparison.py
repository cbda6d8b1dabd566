"""Races of several budgets, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from truesparse.bench.race.plan import RACE, Race
from truesparse.bench.race.standings import Standings, read_lines
from truesparse.errors import TruesparseError, UsageError, typed
from truesparse.study.plan import data_name


def check_race(folder: Path) -> None:
    """Raise UsageError for a folder that is not that of a race."""
    if not (folder / RACE).is_file():
        raise UsageError(f"{folder} is not the folder of a race: it has no {RACE}; give a file of a race")


def read_races(folders: Sequence[Path]) -> dict[float, Standings]:
    """The standings of finished races, by their minutes, the shortest first.

    Raises
    ------
    UsageError
        A folder is not that of a race, two races have the same budget, or not all have the same text.
    TruesparseError
        A race has no test perplexity of both sides yet, or its results cannot be read.
    """
    found: dict[float, Standings] = {}
    of: dict[float, Path] = {}
    texts: dict[tuple[str | None, str], Path] = {}
    for folder in folders:
        check_race(folder)
        race = Race(folder / RACE)
        standings = Standings(race, read_lines(race, folder))
        minutes = race.budget.minutes
        if minutes in found:
            raise UsageError(
                f"{of[minutes]} and {folder} are both races of {minutes:g} minutes; give one of them"
            )
        perplexities = standings.perplexities()
        if perplexities is None or perplexities[0] != "test":
            raise TruesparseError(
                f"{folder} has no test perplexity of both sides; go on with: truesparse race {typed(folder)}"
            )
        texts.setdefault(_text(race), folder)
        found[minutes], of[minutes] = standings, folder
    if len(texts) > 1:
        one, other, *_ = texts.values()
        raise UsageError(f"{one} and {other} have different texts, so their perplexities do not compare")
    return dict(sorted(found.items()))


def _text(race: Race) -> tuple[str | None, str]:
    """What distinguishes texts."""
    return data_name(race.data), race.level
