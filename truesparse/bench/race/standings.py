"""How a race stands: the rows of all candidates, the best of each side, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from truesparse.bench.environment import busy_note
from truesparse.bench.race.plan import SIDES, Entrant, Race
from truesparse.settings import joined
from truesparse.study.plan import Run
from truesparse.study.results import Line, Row, Spread, Table, make_table, read_results

EveryLine = Mapping[str, Mapping[str, Line]]  # by the name of the entrant, and by the key of the run


class Ranked(NamedTuple):
    """A candidate and what its runs came to; `chosen` says whether it is the best of its side so far."""

    entrant: Entrant
    row: Row
    chosen: bool

    @property
    def runs(self) -> list[Run]:
        """Its runs, one for each seed."""
        return [run for run in self.entrant.study.runs if run.point == self.row.point]


def read_lines(race: Race, folder: Path) -> dict[str, dict[str, Line]]:
    """The lines of the runs that have ended; errors as `read_results`."""
    return {entrant.name: read_results(entrant.study, folder, entrant.name) for entrant in race.entrants}


class Standings:
    """The standings of a race.

    Parameters
    ----------
    race : Race
    lines : mapping
        As `read_lines` gives them.

    Attributes
    ----------
    places : list of Ranked
    failures : list of str
        A sentence for each run that failed.
    """

    def __init__(self, race: Race, lines: EveryLine) -> None:
        self._race = race
        self._ended = [line for of in lines.values() for line in of.values()]
        self.failures = [
            f"{entrant.name} {run.name} failed: {line['failed']}"
            for entrant, run in race.turns()
            if "failed" in (line := lines[entrant.name].get(run.key, {}))
        ]
        tables = [(entrant, make_table(entrant.study, lines[entrant.name])) for entrant in race.entrants]
        best = {side: _best([of for of in tables if of[0].side == side]) for side in SIDES}
        self.places = [
            Ranked(entrant, row, best[entrant.side] == (entrant.name, number))
            for entrant, table in tables
            for number, row in enumerate(table.rows)
        ]

    def chosen(self, side: str) -> Ranked | None:
        """The best candidate of a side, by its mean validation perplexity; None before there is one."""
        return next((place for place in self.places if place.chosen and place.entrant.side == side), None)

    @property
    def whole(self) -> bool:
        """Whether all candidates have ended."""
        return all(place.row.done == place.row.runs for place in self.places)

    @property
    def beaten(self) -> list[str]:
        """The sides of which no candidate is left that could win."""
        return [side for side in SIDES if self.whole and self.chosen(side) is None]

    def perplexities(self) -> tuple[str, Spread, Spread] | None:
        """Those of the chosen models of the sparse and the dense side, on the text that is named first; None
        before there are both."""
        chosen = [self.chosen(side) for side in SIDES]
        for part in ("test", "valid") if self.whole else ("valid",):
            spreads = [getattr(place.row, part) for place in chosen if place is not None]
            if len(spreads) == len(SIDES) and None not in spreads:
                return part, spreads[0], spreads[1]
        return None

    def verdict(self) -> str:
        """A sentence."""
        found = self.perplexities()
        if self.beaten:
            return f"no verdict: the {joined(self.beaten, 'and')} side has no candidate left"
        if found is None:
            return "no verdict yet: a side has no result"
        part, sparse, dense = found
        difference = sparse.mean / dense.mean - 1
        word = "lower" if difference < 0 else "higher"
        so_far = "" if self.whole else "so far, with candidates left: "
        untested = ", not tested yet" if self.whole and part == "valid" else ""
        text = {"test": "test", "valid": "validation"}[part]
        both = f"sparse {sparse.words('.1f')} against dense {dense.words('.1f')}"
        return f"{so_far}{both} ({text} perplexity{untested}): {100 * abs(difference):.1f} % {word}"

    def conditions(self) -> list[str]:
        """Sentences on how the runs that have ended were made."""
        ended = [line for line in self._ended if "threads" in line]
        if not ended:
            return []
        where = joined(dict.fromkeys(line["processor"] for line in ended), "and")
        threads = {
            entrant.name: sorted({line["threads"] for line in ended if line["side"] == entrant.name})
            for entrant in self._race.entrants
        }
        used = ", ".join(f"{name} {' or '.join(map(str, of))}" for name, of in threads.items() if of)
        busy = busy_note({"busy_before": max(line["busy_before"] or 0.0 for line in ended)})
        return [
            f"{self._race.budget.minutes:g} minutes of training for each on {where}; threads: {used}",
            *([busy] if busy else []),
        ]

    def values(self) -> dict[str, Any]:
        """In numbers and names that JSON can hold."""
        rows = [
            {"side": place.entrant.name, **place.row.values(), "chosen": place.chosen}
            for place in self.places
        ]
        found = self.perplexities()
        verdict = (
            None if found is None else {"part": found[0], "sparse": found[1].mean, "dense": found[2].mean}
        )
        minutes = self._race.budget.minutes
        return {"minutes": minutes, "rows": rows, "failures": self.failures, "verdict": verdict}


def _best(tables: list[tuple[Entrant, Table]]) -> tuple[str, int] | None:
    """The name of the entrant with the best row of several tables, and the number of the row."""
    means = {}
    for entrant, table in tables:
        if table.best is not None and (valid := table.rows[table.best].valid) is not None:
            means[entrant.name, table.best] = valid.mean
    return min(means, key=means.__getitem__) if means else None
