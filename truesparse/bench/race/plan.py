"""What a race is between: the candidates of each side, and what both have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from truesparse.bench.race.lane import Budget
from truesparse.errors import UsageError, unknown_name
from truesparse.files import replacing
from truesparse.kernels.cores import has_bfloat16
from truesparse.settings import flag, listed, shown
from truesparse.study.plan import Run, Study
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.training.config import Config
from truesparse.training.toml import map_paths, read_toml, to_toml

RACE = "race.toml"
SIDES = ("sparse", "dense")
PRECISIONS = {"float32": "dense", "bfloat16": "dense bf16"}  # of PyTorch, and what its candidates are called

# The race without a file. Its sizes fit some minutes on Penn Treebank and two cores. The preset's rate and
# scale of tokens were found for sparse models; docs/learning-rates.md has the rates of dense ones.
DEFAULTS: dict[str, Any] = {
    "settings": {"preset": "ptb-small", "dropout": 0.1},
    "sparse": {
        "settings": {"density": 0.2, "pattern": "unit", "output_group": 4},
        "grid": {"hidden_size": [200, 320]},
    },
    "dense": {
        "settings": {"token_scale": 1.0},
        "grid": {"hidden_size": [100, 200], "lr": [2.0, 4.0]},
    },
}

_BUDGET = tuple(field.name for field in dataclasses.fields(Budget))
_TABLES = ("settings", *SIDES)
_OF_SIDE = {"sparse": ("settings", "grid", "cases"), "dense": ("settings", "grid", "cases", "precision")}
# What the budget decides, and what candidates must have in common for their perplexities to compare.
_PLANNED = (
    *("epochs", "max_steps", "max_minutes", "patience", "eval_interval", "threads"),
    *("lr_schedule", "lr_decay", "lr_decay_start"),
)
_COMMON = ("data", "level", "batch_size", "bptt")
# What the dense side can be told; of all else it has only the default.
FOLLOWED = frozenset(
    {
        *(*_PLANNED, *_COMMON, "log_interval", "track_positions", "keep_topologies", "lr_density_exponent"),
        *("preset", "random_windows", "hidden_size", "last_hidden_size", "layers", "embedding_size"),
        *("init_scale", "token_scale", "seed"),
        *("dropout", "dropout_input", "dropout_output"),
        *("lr", "momentum", "beta1", "beta2", "epsilon", "weight_decay", "clip"),
    }
)


@dataclass(frozen=True)
class Entrant:
    """The candidates of a side that compute in the same precision.

    Attributes
    ----------
    name : str
        "sparse", "dense" or "dense bf16".
    side : {"sparse", "dense"}
    precision : {"float32", "bfloat16"}
    study : Study
        Its runs are the candidates, each with all seeds.
    """

    name: str
    side: str
    precision: str
    study: Study

    @property
    def worker(self) -> str:
        """What `truesparse.bench.worker.MODELS` calls the side."""
        return {"sparse": "ours", "dense": "torch"}[self.side]

    def folder(self, run: Run) -> str:
        """The name of the folder of a run, of which no other run of the race has the same."""
        return f"{self.name.replace(' ', '-')}-{run.folder}"


class Race:
    """A race.

    Parameters
    ----------
    path : Path, optional
        TOML; without it the race is `DEFAULTS`.
    data : str, optional
        In the place of what the file says.
    minutes : float, optional
        In the place of what the file says.
    seeds : int, optional
        In the place of what the file says.

    Attributes
    ----------
    budget : Budget
    entrants : list of Entrant

    Raises
    ------
    UsageError, TruesparseError
        The file cannot be read, or a candidate cannot be trained as it says.
    """

    def __init__(
        self,
        path: Path | None,
        data: str | None = None,
        minutes: float | None = None,
        seeds: int | None = None,
    ) -> None:
        self._path = path or Path("the built-in race")
        values = deepcopy(DEFAULTS) if path is None else read_toml(path)
        values |= {
            name: value for name, value in (("minutes", minutes), ("seeds", seeds)) if value is not None
        }
        self._check_keys(values, (*_BUDGET, "seeds", *_TABLES))
        for table in _TABLES:
            self._check_table(table, values.setdefault(table, {}))
        if data is not None:
            values["settings"]["data"] = data
        for side in SIDES:
            self._check_keys(values[side], _OF_SIDE[side])
            self._check_table(f"{side}.settings", values[side].get("settings", {}))
        self._check_names(values)
        known = list(PRECISIONS) if has_bfloat16() else ["float32"]
        precisions = values["dense"].setdefault("precision", known)
        if not isinstance(precisions, list) or not precisions or not all(p in PRECISIONS for p in precisions):
            raise UsageError(
                f"precision in {self._path} is {shown(precisions)}; it must be a list of {listed(PRECISIONS)}"
            )
        self._values = map_paths(values, lambda data: str(Path(data).absolute()))
        self.budget = Budget(**{name: values[name] for name in _BUDGET if name in values})
        self.entrants = [Entrant("sparse", "sparse", "float32", self._study("sparse"))]
        if any(run.config.method == "dense" for run in self.entrants[0].study.runs):
            raise UsageError("the sparse side: method is 'dense'; choose a sparse one, or leave it out")
        dense = self._study("dense")
        for run in dense.runs:
            self._check_dense(run)
        self.entrants += [
            Entrant(PRECISIONS[name], "dense", name, dense) for name in dict.fromkeys(precisions)
        ]

    @property
    def data(self) -> str | None:
        """Where the text is; None for the one that comes with Python."""
        path: str | None = self._values["settings"].get("data")
        return path

    @property
    def level(self) -> str:
        """Of the tokens, of both sides: "word", "char", "byte" or "subword"."""
        level: str = vars(self.entrants[0].study.runs[0].config)["level"]
        return level

    def save(self, folder: Path) -> None:
        """Write the race to a folder, from which `Race` reads it again.

        Raises
        ------
        UsageError
            The folder has a race with another budget.
        OSError
        """
        file = folder / RACE
        if file.is_file() and (begun := Race(file).budget) != self.budget:
            raise UsageError(
                f"{folder} has a race of another budget, {begun.minutes:g} minutes; choose another --out"
            )
        budget = {name: getattr(self.budget, name) for name in _BUDGET}
        with replacing(file) as partial:
            partial.write_text(to_toml({**budget, **self._values}), encoding="utf-8")

    def turns(self) -> Iterator[tuple[Entrant, Run]]:
        """All candidates, those of the sides by turns."""
        lanes = [[(entrant, run) for run in entrant.study.runs] for entrant in self.entrants]
        return (turn for turn in chain.from_iterable(zip_longest(*lanes)) if turn is not None)

    def _study(self, side: str) -> Study:
        own = self._values[side]
        settings = {**self._values["settings"], **own.get("settings", {})}
        if side == "dense":
            settings["method"] = "dense"
        tables = {name: own[name] for name in ("grid", "cases") if name in own}
        seeds = self._values.get("seeds", 1)
        try:
            return Study(
                self._path, values={"task": "lm", "seeds": seeds, "settings": settings, **deepcopy(tables)}
            )
        except UsageError as error:
            raise UsageError(f"the {side} side: {error}") from None

    def _check_keys(self, values: Mapping[str, Any], known: Iterable[str]) -> None:
        for name in values:
            if name not in known:
                raise UsageError(f"{self._path}: {unknown_name('key', name, list(known))}")

    def _check_table(self, name: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise UsageError(f"{name} in {self._path} is {shown(value)}; it must be a table [{name}]")

    def _check_names(self, values: Mapping[str, Any]) -> None:
        """Raise UsageError for a setting that the budget decides, or that is not the same for both sides."""
        for side in ("", *SIDES):
            tables = values[side] if side else {"settings": values["settings"]}
            cases = tables.get("cases", [])
            named = [
                tables.get("settings", {}),
                tables.get("grid", {}),
                *(cases if isinstance(cases, list) else []),
            ]
            for name in chain.from_iterable(table for table in named if isinstance(table, dict)):
                if name in _PLANNED:
                    raise UsageError(f"{self._path} has {name}, which the budget decides; leave it out")
                if name == "method" and side != "sparse":
                    whose = f"the {side} side" if side else "both sides"
                    raise UsageError(
                        f"{self._path} has a method for {whose}, but the dense side has none; write it under"
                        " [sparse.settings]"
                    )
                if side and name in _COMMON:
                    raise UsageError(
                        f"{self._path} has {name} for the {side} side, but it is the same for both"
                        "; write it under [settings]"
                    )

    def _check_dense(self, run: Run) -> None:
        """Raise UsageError for what the LSTM of PyTorch does not have."""
        config: Config = run.config
        if config.optimizer not in ("sgd", "adam"):
            raise UsageError(f"the dense side: optimizer is {config.optimizer!r}; it must be sgd or adam")
        plain = LanguageModelConfig(method="dense", optimizer=config.optimizer).filled()
        for name in config.fields():
            if name not in (*FOLLOWED, "optimizer") and getattr(config, name) != getattr(plain, name):
                raise UsageError(
                    f"the dense side, an LSTM of PyTorch, does not have {flag(name)} {getattr(config, name)}"
                    "; write it under [sparse.settings], or leave it out"
                )
