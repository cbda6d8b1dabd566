"""A race is run: one candidate after the other, then the test of those that were chosen."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from truesparse.bench.contest import Contestant, ContestantError
from truesparse.bench.environment import WATCH_SECONDS, busy_cores
from truesparse.bench.monitor import Monitor
from truesparse.bench.race.plan import RACE, SIDES, Entrant, Race
from truesparse.bench.race.standings import EveryLine, Standings, read_lines
from truesparse.errors import TruesparseError, typed
from truesparse.files import locked
from truesparse.modelfile import MODEL
from truesparse.study.plan import Run
from truesparse.study.results import Line, add_result, lost
from truesparse.study.run import check_folder, origin
from truesparse.training.environment import commit
from truesparse.training.evaluation import perplexity
from truesparse.training.loop import TrainingStopped
from truesparse.training.reporter import to_json

LANES = "runs"

Turn = tuple[Entrant, Run]


def run_race(race: Race, folder: Path, threads: int, monitor: Monitor) -> None:
    """Do what is left of a race.

    A candidate that fails gets a line that says why, and the others go on; it is tried again the next time.

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
        The folder has something else in it, the text cannot be read, or the best model cannot be tested.
    TrainingStopped
        At Ctrl-C; candidates that have ended are saved.
    """
    begin_race(race, folder)
    code = commit()  # before somebody works on it
    try:
        with locked(folder / LANES):
            _lanes(race, _left(race, read_lines(race, folder)), folder, threads, monitor, code)
            _find_models(race, folder, threads, monitor, code)
            _tests(race, folder, threads, monitor)
    except BlockingIOError:
        raise TruesparseError(
            f"another process is at the race in {folder}, and two would slow each other; wait for it"
        ) from None
    except KeyboardInterrupt:
        runs = len(list(race.turns()))
        done = runs - len(_left(race, read_lines(race, folder)))
        raise TrainingStopped(
            f"stopped, with {done:,} of {runs:,} runs done; go on with: truesparse race {typed(folder)}"
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


def _left(race: Race, lines: EveryLine) -> list[Turn]:
    """The candidates that have no result: those to come, and those that failed without one."""
    turns = ((entrant, run, lines[entrant.name].get(run.key)) for entrant, run in race.turns())
    return [
        (entrant, run)
        for entrant, run, line in turns
        if line is None or ("failed" in line and "valid" not in line)
    ]


def _lanes(
    race: Race, left: list[Turn], folder: Path, threads: int, monitor: Monitor, code: str | None
) -> None:
    """Train candidates; those that fail get a line that says why."""
    monitor.plan(len(left))
    for entrant, run in left:
        end = datetime.now() + timedelta(seconds=race.budget.seconds)
        name = f"{entrant.name} {run.name}"
        monitor.say(f"{name}, until {end:%H:%M} and as long as it reads, warms up and evaluates")
        lane = lane_of(folder, entrant, run)
        lane.mkdir(exist_ok=True)
        busy = busy_cores(WATCH_SECONDS)
        try:
            answer = _ask("race", entrant, run, lane, threads, budget=asdict(race.budget))
        except ContestantError as error:
            answer = {"failed": str(error)}
        line = _line(entrant, run, {**answer, "busy_before": busy}, code)
        add_result(folder, line)
        monitor.note(f"{name}: {_came_to(line)}")
        monitor.done()


def _line(entrant: Entrant, run: Run, results: dict[str, Any], code: str | None) -> Line:
    return {
        "run": entrant.folder(run),
        "side": entrant.name,
        "point": dict(run.point),
        "seed": run.config.seed,
        **results,
        **origin(run, code),
    }


def _chosen(race: Race, folder: Path) -> list[tuple[Entrant, Run, Line]]:
    """The runs of the best candidate of each side, and their lines."""
    lines = read_lines(race, folder)
    places = filter(None, map(Standings(race, lines).chosen, SIDES))
    return [
        (place.entrant, run, lines[place.entrant.name][run.key]) for place in places for run in place.runs
    ]


def _find_models(race: Race, folder: Path, threads: int, monitor: Monitor, code: str | None) -> None:
    """Train those of the best candidates again whose models were removed, as others had been chosen; until
    the best have models or are tested."""
    while gone := [
        (entrant, run)
        for entrant, run, line in _chosen(race, folder)
        if "test" not in line and not (lane_of(folder, entrant, run) / MODEL).is_file()
    ]:
        for entrant, run in gone:
            reason = "its model was removed, as another was chosen then, so it is trained again"
            monitor.note(f"{entrant.name} {run.name}: {reason}")
            add_result(folder, _line(entrant, run, {"failed": reason, "busy_before": None}, code))
        _lanes(race, gone, folder, threads, monitor, code)


def _tests(race: Race, folder: Path, threads: int, monitor: Monitor) -> None:
    """Measure the models that were chosen on the test text, those that were not yet; remove the others."""
    kept = set()
    failed: list[ContestantError] = []
    for entrant, run, line in _chosen(race, folder):
        lane = lane_of(folder, entrant, run)
        kept.add(lane)
        if "test" in line:
            continue
        monitor.say(f"{entrant.name} {run.name}, on the test text")
        try:
            loss = _ask("race_test", entrant, run, lane, threads)["loss"]
        except ContestantError as error:  # the others are tested first
            error.args = (f"{entrant.name} {run.name}, on the test text: {error}",)
            failed.append(error)
            continue
        test = json.loads(to_json({"perplexity": perplexity(loss), "loss": loss}))
        add_result(folder, {**line, "test": test})
    if failed:
        raise failed[0]
    for entrant, run in race.turns():
        if (lane := lane_of(folder, entrant, run)) not in kept:
            (lane / MODEL).unlink(missing_ok=True)


def _ask(question: str, entrant: Entrant, run: Run, lane: Path, threads: int, **more: Any) -> dict[str, Any]:
    """The answer of a process of its own."""
    with Contestant(entrant.worker, threads) as contestant:
        return contestant.ask(
            question,
            side=entrant.worker,
            config=asdict(run.config),
            precision=entrant.precision,
            folder=str(lane.absolute()),
            **more,
        )


def _came_to(line: Line) -> str:
    if reason := lost(line):
        return reason
    value = line["valid"]["perplexity"]
    words = "infinite" if value is None else f"{value:.2f}"
    return (
        f"validation perplexity {words} after {line['epochs']:.1f} epochs, {line['tokens_per_second']:,.0f}"
        " tokens a second"
    )
