"""The commands and snippets of the guides, typed in by a reader who has tiny data and little time."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from guide_files import FILES, NEW, RUNS
from page_helpers import Typed, blocks, typed

import truesparse as ts
from truesparse import runtime
from truesparse.cli import main
from truesparse.study.plan import Study
from truesparse.tasks import sources
from truesparse.topology.methods import METHODS

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/**/*.md", "examples/*.md")
    for path in sorted(ROOT.glob(pattern))
}
# What other tests type in, or do: these pages are not for this one.
ELSEWHERE = {
    "docs/newcomers.md": "tests/test_tutorials.py",
    **{name: "tests/test_tutorials.py" for name in PAGES if name.startswith("docs/tutorials/")},
}
# The beginnings of commands that are only read, and why.
ONLY_READ = {
    "python3 -m venv": "CI does it before the tests",
    ". .venv/bin/activate": "CI does it before the tests",
    "source env/bin/activate": "the environment of a cluster",
    "pip install": "CI does it before the tests",
    "pytest": "it is what runs this",
    "make check": "CI runs its parts",
    "cd tests": "the next command is for the folder",
    "mpiexec -n 2 env": "tests/training runs the program on two ranks",
    "cc": "tests/export compiles what it exports, where there is a compiler",
    "./model": "tests/export runs what it compiles",
    "python draw.py": "tests/export/test_example.py runs it",
    "python sensor.py": "tests/examples runs it",
    "python forecast.py": "tests/examples runs it",
    "python tagger.py": "tests/examples runs it",
    "python lottery.py": "tests/examples runs it",
    "python pixels.py": "tests/examples runs it",
    "python benchmarks/names_grammar.py": "it writes thousands of sentences, for minutes of training",
    "python benchmarks/encoder.py": "it needs PyTorch; tests/bench/test_encoder.py runs it",
    "python benchmarks/record.py": "tests/bench/test_record.py runs it",
    "truesparse train mlp --data DIR --hidden-sizes 1000000,1000000,1000000": "it takes minutes",
    "truesparse bench": "it measures for minutes; tests/cli/test_bench.py runs it on small models",
    "truesparse tune": "it measures for a minute; tests/cli/test_tune.py runs it on a small model",
    "truesparse race": "it trains PyTorch's models for minutes; tests/bench/test_race_results.py runs it",
}
# Runs that a page supposes.
SUPPOSED = {
    "docs/words.md": {"runs/mine": "lm"},
    "docs/report.md": {"RUN": "lm"},
    "docs/sequences.md": {"RUN": "waves"},
    "docs/deployment.md": {
        "RUN": "lm",
        "runs/mine": "lm",
        "runs/reviews": "classifier",
        "runs/names": "tagger",
        "runs/filter": "filter",
        "runs/sales": "forecast",
    },
}
# What the snippets of a page suppose to be there.
SCOPES: dict[str, dict[str, Any]] = {
    "docs/classification.md": {
        "texts": ["a fine film to see on rainy days", "a bad film to see on any day"] * 20,
        "labels": ["good", "bad"] * 20,
    },
    "docs/api.md": {
        "ts": ts,
        "model": ts.Chain(ts.Embedding(12, 16), ts.LSTM(32), ts.Softmax(12)).init(0.2, seed=1),
    },
    "docs/deployment.md": {
        "runtime": runtime,
        "array": np.zeros((2, 5, 3), np.float32),
        "series": np.arange(80, dtype=np.float32).reshape(40, 2),
        "promo": np.zeros((7, 1), np.float32),
    },
}
# The first lines of snippets that are only compiled, and why.
ONLY_COMPILED = {
    "from mpi4py import MPI": "it fits twenty models on several ranks",
    "import numpy as np\nimport truesparse as ts\n\nids": "tests/test_documents.py runs it",
}
# No setting is larger in a test, or other tests would not compile the same kernels.
MOST = {
    **{"hidden_size": 16, "embedding_size": 16, "layers": 2, "depth": 2, "feed_forward": 16, "experts": 2},
    **{"last_hidden_size": 16, "chunk_size": 4, "length": 7, "bptt": 10, "epochs": 1, "max_steps": 2},
    **{"keep_topologies": 2, "eval_interval": 2, "local_steps": 2, "vocabulary": 300},
}
BATCH = {"classifier": 8, "sequences": 8, "tagger": 16, "mlp": 64}


def is_one(command: Typed | str, start: str) -> bool:
    return f"{command} ".startswith(f"{start} ")


def executed(text: str) -> list[Typed]:
    return [command for command in typed(text) if not any(is_one(command, start) for start in ONLY_READ)]


def snippets(text: str) -> list[str]:
    """The Python of a page that no doctest runs."""
    found = []
    for _, code in blocks(text, "python"):
        if code.startswith(">>>"):
            examples = doctest.DocTestParser().get_examples(code)
            found += [one.source for one in examples if one.options.get(doctest.SKIP)]
        elif not any(code.startswith(start) for start in ONLY_COMPILED):
            found.append(code)
    return found


def smaller(config: Any) -> Any:
    """A configuration that takes less time, of the same kind."""
    values = dict(vars(config))
    for name, most in MOST.items():
        if values.get(name):
            values[name] = min(values[name], most)
    values["max_steps"] = min(values["max_steps"] or 2, 2)
    values["batch_size"] = BATCH.get(config.TASK, 4)
    values["threads"] = 1
    if "update_interval" in METHODS[config.method].fields:
        values["update_interval"] = 1
    if values["data"] is None and config.TASK in ("lm", "mlm"):  # the documentation of Python
        values["data"] = "book.txt"
    if "hidden_sizes" in values:
        values["hidden_sizes"] = "16,16"
    return type(config).from_dict(values)


GUIDES = [
    name for name, text in PAGES.items() if name not in ELSEWHERE and [*executed(text), *snippets(text)]
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a command asks for, it trains a tiny model for two steps; a study trains two."""
    resolved, every = sources._with_preset, Study._runs
    monkeypatch.setattr(sources, "_with_preset", lambda *given: smaller(resolved(*given)))
    monkeypatch.setattr(
        Study, "_runs", lambda study: islice({run.key: run for run in every(study)}.values(), 2)
    )


class Reader:
    """Types in a page, in this folder."""

    def __init__(self, page: str) -> None:
        self.supposed = SUPPOSED.get(page, {})
        self.scope = SCOPES.get(page, {})
        self.runs: list[str] = []  # in the order in which the page trains them
        self.task = ""  # of the last one
        self.outputs = 0
        Path("benchmarks").symlink_to(ROOT / "benchmarks")

    def type_in(self, command: Typed) -> None:
        if command.program == "truesparse":
            arguments = list(self._given(command.arguments))
            self.run(*arguments, env=command.environment, input=command.reads)
        else:
            self._make(command.arguments[-1], *command.arguments)
            program = sys.executable if command.program == "python" else command.program
            words = [shlex.quote(word) if word != ">" else word for word in (program, *command.arguments)]
            subprocess.run(" ".join(words), shell=True, check=True)

    def run_snippets(self, codes: list[str]) -> None:
        """Run Python, with the runs that it loads."""
        scope = dict(self.scope)
        for code in codes:
            for name in re.findall(r'"(RUN|runs/\w+)', code):
                code = code.replace(name, self._supposed(name))
            exec(code, scope)

    def run(self, *arguments: str, **more: Any) -> None:
        """Run a command, and note down which run it has made, if any."""
        before = set(Path().glob("**/metrics.jsonl"))
        result = CliRunner().invoke(main, list(arguments), **more)
        if "pip install" in result.stderr:
            pytest.skip(result.stderr.strip())
        assert result.exit_code == 0, f"truesparse {shlex.join(arguments)}\n{result.output}"
        new = set(Path().glob("**/metrics.jsonl")) - before
        self.runs += map(str, sorted((path.parent for path in new), key=lambda run: run.stat().st_mtime))
        if arguments[0] == "train":
            self.task = arguments[1]

    def _given(self, arguments: list[str]) -> Iterator[str]:
        """Names of things in the places of those that stand for any."""
        runs = (self.runs or [self._supposed("RUN")])[-arguments.count("RUN") :] * 2
        for flag, word in zip(["", *arguments], arguments, strict=False):
            if word == "RUN":
                yield runs.pop()
            elif word == "METHOD":
                yield "rigl"
            elif word == "DIR" and flag == "--out":
                self.outputs += 1
                yield f"out-{self.outputs}"
            elif word != "...":
                if word in self.supposed:
                    self._supposed(word)
                elif flag not in ("--out", "--run", "--plot"):
                    self._make(word)
                yield word

    def _supposed(self, name: str) -> str:
        """A run that the page does not train; where it is."""
        kind, folder = self.supposed.get(name), name.replace("RUN", "supposed")
        if kind and not Path(folder).exists():
            arguments = RUNS[kind]
            self._make(*arguments)
            self.run("train", *arguments, "--out", folder)
        return folder

    def _make(self, *names: str) -> None:
        """The files that a reader has, if they are not there."""
        for name in names:
            if name.endswith(".toml") and Path(name).exists():
                self._make(*re.findall(r'^data = "(.*)"', Path(name).read_text(), re.MULTILINE))
            write = NEW.get(self.task) if name == "new.csv" else FILES.get(name)
            if write and (name == "new.csv" or not Path(name).exists()):
                write(Path(name))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("page", GUIDES)
def test_guide(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _, code in blocks(PAGES[page], "toml"):
        if name := re.match(r"# (\S+\.toml)\n", code):
            Path(name[1]).write_text(code, encoding="utf-8")
    FILES["book.txt"](Path("book.txt"))
    reader = Reader(page)
    try:
        for command in executed(PAGES[page]):
            reader.type_in(command)
        reader.run_snippets(snippets(PAGES[page]))
    except ImportError as error:
        if not isinstance(error, ModuleNotFoundError) and "pip install" not in str(error):
            raise
        pytest.skip(str(error))


def test_what_is_only_read_is_there() -> None:
    commands = [str(command) for text in PAGES.values() for command in typed(text)]
    assert [start for start in ONLY_READ if not any(is_one(command, start) for command in commands)] == []
    codes = [code for text in PAGES.values() for _, code in blocks(text, "python")]
    for start in ONLY_COMPILED:
        (code,) = [code for code in codes if code.startswith(start)]
        compile(code, start, "exec")
