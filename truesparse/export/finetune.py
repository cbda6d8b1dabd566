"""Dense models from other programs, pruned and trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from truesparse.data.series_encoder import CLASSIFY, LABEL_STEPS, REGRESS, REGRESS_STEPS
from truesparse.errors import TruesparseError, UsageError
from truesparse.export.imported import Dense, check_density, read_dense
from truesparse.export.imported_names import Names, read_names
from truesparse.layers.bidirectional.spec import Bidirectional
from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.output.spec import Softmax, SquaredError
from truesparse.layers.pool.spec import Pool
from truesparse.layers.spec import Recurrent
from truesparse.model.saving import save_model
from truesparse.settings import flag
from truesparse.tasks.registry import TASKS
from truesparse.tasks.sources import resolve
from truesparse.training.config import Config
from truesparse.training.reporter import Reporter


def finetune(
    path: Path,
    out: Path,
    density: float,
    data: Path,
    flags: Mapping[str, Any],
    run: Path | None = None,
    vocabulary: Path | None = None,
    labels: Path | None = None,
    features: str | None = None,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
    **reading: Any,
) -> dict[str, Any]:
    """Prune a dense model, train it on, and measure it before, between and after.

    The run begins with the pruned model as with ``--start-topology`` and ``--start-values last``, so it can
    be resumed as any other.

    Parameters
    ----------
    path, **reading
        As in `truesparse.export.imported.read_dense`.
    out : Path
        The file of the pruned model, which the run goes on to need until its first checkpoint.
    density : float
        Fraction of each matrix to keep, in (0, 1].
    data : Path
        What to train on, as for training.
    flags : mapping
        Other settings of training by their names. The method is ``static`` if none is given: what is largest
        is worth keeping.
    run : Path, optional
        Folder of the run.
    vocabulary, labels, features
        See `truesparse.export.imported_names.read_names`; features are called as the data call them if not
        given.
    reporter, stop
        As in `truesparse.tasks.run.train_model`.

    Returns
    -------
    dict
        `dense`, `pruned`, `finetuned`: for each `nnz`, and what the task measures on the parts `valid` and
        `test`; `run`, the results of the run; `out`.

    Raises
    ------
    UsageError, TruesparseError, TrainingStopped
        As `read_dense` and `train_model`; nothing is written before the data have been read.
    """
    from truesparse.kernels.threads import set_threads
    from truesparse.model.loading import load_model
    from truesparse.tasks.run import train_model
    from truesparse.training import rundir

    check_density(density)
    if out.exists():
        raise UsageError(f"{out} exists; choose another --out or remove it")
    if run is not None:
        rundir.check_free(run)
    dense = read_dense(path, **reading)
    names = read_names(dense.chain, str(path), vocabulary, labels, features)
    if dense.chain.features and features is None:
        names = replace(names, encoder=None)
    config = _configuration(dense, names, str(path), data, out, flags)
    if names.labels and labels is None:
        raise UsageError(
            f"--finetune needs the labels of {path} in the order of its {len(names.labels):,} outputs; give"
            " --labels"
        )
    set_threads(config.threads)
    task = config.make_task(like=names)
    for what, mine, theirs in (
        ("features a step", dense.chain.features, task.chain.features),
        ("predicted numbers", dense.chain.head.outputs, task.chain.head.outputs),
    ):
        if mine != theirs:
            raise UsageError(
                f"the {what} of {data} are {theirs:,}, but those of {path} {mine:,}; give the columns that it"
                " was trained on"
            )

    def measured(model: Any) -> dict[str, Any]:
        parts = {part: task.evaluate(model, part, model.workspace) for part in ("valid", "test")}
        return {"nnz": model.arena.nnz, **parts}

    found = {"dense": measured(dense.pruned(1.0))}
    pruned = dense.pruned(density)
    found["pruned"] = measured(pruned)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    save_model(out, pruned, **task.reading)
    try:
        results = train_model(config, run, reporter, stop)
    except UsageError:  # nothing has been learned, and whoever tries again gives the same --out
        out.unlink()
        raise
    found["finetuned"] = measured(load_model(Path(results["run_dir"]) / rundir.MODEL).model)
    return {"out": str(out), **found, "run": results}


def _configuration(
    dense: Dense, names: Names, source: str, data: Path, out: Path, flags: Mapping[str, Any]
) -> Config:
    """The configuration of the run that trains a dense model on."""
    words = names.vocabulary
    if dense.chain.tokens and words is None:
        raise UsageError(f"--finetune needs to know what the tokens of {source} are; give --vocabulary")
    task, decided = _decided(dense.chain, source, bool(names.labels))
    kind = TASKS[task]
    for name in flags:
        if name not in kind.fields():
            raise UsageError(f"{flag(name)} is not for a {kind.KIND}, as {source} is one; leave it out")
    if words is not None and "level" in kind.fields():
        decided["level"] = words.level
    begun = {"data": str(data), "start_topology": str(out.absolute()), "start_values": "last"}
    return resolve({"method": "static", **flags, **decided, **begun}, task=kind).filled()


def _decided(chain: ChainSpec, source: str, labelled: bool) -> tuple[str, dict[str, Any]]:
    """The task that trains such a model, and its settings that say what the model is.

    Raises
    ------
    TruesparseError
        No task makes one like it.
    """
    layers, head = list(chain.layers), chain.head
    embedding = layers.pop(0) if chain.tokens else None
    rest = layers[:-1]
    pools = [layer for layer in rest if isinstance(layer, Pool)]
    recurrent = [layer for layer in rest if isinstance(layer, Recurrent | Bidirectional)]
    if (
        not isinstance(embedding, Embedding if chain.tokens else type(None))
        or not isinstance(head, Softmax if chain.tokens else Softmax | SquaredError)
        or not recurrent
        or rest != [recurrent[0]] * len(recurrent) + pools
    ):
        raise TruesparseError(
            f"{source} has layers that truesparse train makes no model of: what --finetune trains is an"
            " embedding or features, recurrent layers of one kind and size, and an output layer; import it"
            " without --finetune, and train it on from Python"
        )
    both = isinstance(recurrent[0], Bidirectional)
    cell = recurrent[0].cell if isinstance(recurrent[0], Bidirectional) else recurrent[0]
    own = {name: value for name, value in asdict(cell).items() if name in ("reset_gate",)}
    decided: dict[str, Any] = {
        "cell": cell.TYPE,
        "hidden_size": cell.units,
        "layers": len(recurrent),
        "bidirectional": both,
        **own,
    }
    if embedding is not None:
        decided["embedding_size"] = embedding.size
        if not labelled:
            return "lm", {**decided, "tied": head.tied}
    decided["output"] = "sparse" if head.sparse else "dense"
    if embedding is None:
        what = (CLASSIFY, LABEL_STEPS) if isinstance(head, Softmax) else (REGRESS, REGRESS_STEPS)
        pooling = {"pooling": pools[0].kind} if pools else {}
        return "sequences", {**decided, **pooling, "goal": what[chain.per_step]}
    return ("classifier", {**decided, "pooling": pools[0].kind}) if pools else ("tagger", decided)
