"""A race is run: one candidate after the other, then the test of those that were chosen."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from truesparse.bench.contest import Contestant
from truesparse.bench.environment import WATCH_SECONDS, busy_cores
from truesparse.bench.monitor import Monitor
from truesparse.bench.race.plan import RACE, SIDES, Entrant, Race
from truesparse.bench.race.standings import Standings, read_lines
from truesparse.errors import TruesparseError, typed
from truesparse.modelfile import MODEL
from truesparse.modelfile.files import locked
from truesparse.study.plan import Run
from truesparse.study.results import Line, add_result
from truesparse.study.run import check_folder, origin
from truesparse.training.environment import commit
from truesparse.training.evaluation import perplexity
from truesparse.training.loop import TrainingStopped
from truesparse.training.reporter import to_json

LANES = "runs"


def run_race(race: Race, folder: Path, threads: int, monitor: Monitor) -> None:
    """Do what is left of a race.

    Parameters
    ----------
    race : Race
    folder : Path
        New or empty, or that of the race, begun earlier. Gets the race, the results, and a folder for each
        candidate.
    threads : int
        Of every side.
    monitor : Monitor

    Raises
    ------
    UsageError, TruesparseError
        The folder has something else in it, the text cannot be read, or a candidate cannot be trained.
    TrainingStopped
        At Ctrl-C; candidates that have ended are saved.
    """
    begin_race(race, folder)
    code = commit()  # before somebody works on it
    try:
        with locked(folder / LANES):
            _lanes(race, folder, threads, monitor, code)
            _tests(race, folder, threads, monitor)
    except BlockingIOError:
        raise TruesparseError(
            f"another process is at the race in {folder}, and two would slow each other; wait for it"
        ) from None
    except KeyboardInterrupt:
        done = sum(map(len, read_lines(race, folder).values()))
        raise TrainingStopped(
            f"stopped, with {done:,} of {len(list(race.turns())):,} runs done; go on with: truesparse race"
            f" {typed(folder)}"
        ) from None


def begin_race(race: Race, folder: Path) -> None:
    """Make the folder of a race, or take the one of a race begun earlier; errors as `run_race`."""
    check_folder(folder, RACE, "race")
    if race.data is not None and not Path(race.data).exists():
        race.entrants[0].study.runs[0].config.make_task()  # which says what is wrong
    (folder / LANES).mkdir(parents=True, exist_ok=True)
    race.save(folder)


def lane_of(folder: Path, entrant: Entrant, run: Run) -> Path:
    """The folder of a run."""
    return folder / LANES / entrant.folder(run)


def _lanes(race: Race, folder: Path, threads: int, monitor: Monitor, code: str | None) -> None:
    """Train the candidates that are left."""
    done = read_lines(race, folder)
    left = [(entrant, run) for entrant, run in race.turns() if run.key not in done[entrant.name]]
    monitor.plan(len(left))
    for entrant, run in left:
        end = datetime.now() + timedelta(seconds=race.budget.seconds)
        name = f"{entrant.name} {run.name}"
        monitor.say(f"{name}, until {end:%H:%M} and as long as it reads, warms up and evaluates")
        lane = lane_of(folder, entrant, run)
        lane.mkdir(exist_ok=True)
        busy = busy_cores(WATCH_SECONDS)
        answer = _ask("race", entrant, run, lane, threads, budget=asdict(race.budget))
        line: Line = {
            "run": lane.name,
            "side": entrant.name,
            "point": dict(run.point),
            "seed": run.config.seed,
            **answer,
            "busy_before": busy,
            **origin(run, code),
        }
        add_result(folder, line)
        monitor.note(f"{name}: {_came_to(line)}")
        monitor.done()


def _tests(race: Race, folder: Path, threads: int, monitor: Monitor) -> None:
    """Measure the models that were chosen on the test text, those that were not yet; remove the others."""
    lines = read_lines(race, folder)
    standings = Standings(race, lines)
    kept = set()
    for place in filter(None, map(standings.chosen, SIDES)):
        for run in place.runs:
            line, lane = lines[place.entrant.name][run.key], lane_of(folder, place.entrant, run)
            kept.add(lane)
            if "test" in line:
                continue
            if not (lane / MODEL).is_file():
                raise TruesparseError(
                    f"{lane} has no {MODEL} to be tested, as it was not chosen before; choose another --out"
                )
            monitor.say(f"{place.entrant.name} {run.name}, on the test text")
            loss = _ask("race_test", place.entrant, run, lane, threads)["loss"]
            test = json.loads(to_json({"perplexity": perplexity(loss), "loss": loss}))
            add_result(folder, {**line, "test": test})
    for entrant, run in race.turns():
        if (lane := lane_of(folder, entrant, run)) not in kept:
            (lane / MODEL).unlink(missing_ok=True)


def _ask(question: str, entrant: Entrant, run: Run, lane: Path, threads: int, **more: Any) -> dict[str, Any]:
    """The answer of a process of its own."""
    try:
        with Contestant(entrant.worker, threads) as contestant:
            return contestant.ask(
                question,
                side=entrant.worker,
                config=asdict(run.config),
                precision=entrant.precision,
                folder=str(lane.absolute()),
                **more,
            )
    except TruesparseError as error:
        error.args = (f"{entrant.name} {run.name}: {error}",)
        raise


def _came_to(line: Line) -> str:
    if "diverged" in line:
        return f"diverged: {line['diverged']}"
    value = line["valid"]["perplexity"]
    words = "infinite" if value is None else f"{value:.2f}"
    return (
        f"validation perplexity {words} after {line['epochs']:.1f} epochs, {line['tokens_per_second']:,.0f}"
        " tokens a second"
    )
