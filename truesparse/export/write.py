"""From a model file to a folder in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from truesparse.errors import UsageError, unknown_name
from truesparse.export.folder import new_folder
from truesparse.export.rounding import cost_of_rounding
from truesparse.export.targets import DTYPES, TARGETS
from truesparse.modelfile import Reader, find_model, read_model


def export_model(
    path: Path,
    target: str,
    out: Path,
    name: str = "model",
    dtype: str = "float32",
    data: Path | str | None = None,
) -> dict[str, Any]:
    """Write a model in another form, into a folder that appears whole or not at all.

    Parameters
    ----------
    path : Path
        A model file, or the folder of a run.
    target : str
        One of `truesparse.export.targets.TARGETS`: "c", "onnx", "torch" or "scipy".
    out : Path
        The folder: new, or empty.
    name : str
        For C: of the files, and what all names in the header begin with.
    dtype : {"float32", "int8"}
        For C: the type of the weights.
    data : Path or str, optional
        For int8: the text, or the labelled texts, on which to measure what rounding costs. If it is not
        given, that is measured for a run, on what its folder says that it was trained on.

    Returns
    -------
    dict
        `files`: bytes of each file by name; `dense_bytes`: of all weights and biases if they were dense
        float32; for C also `flash_bytes` and `ram_bytes`; for int8 `loss`, `loss_int8` (nats a token or text,
        None where there are none), `loss_reason` (why there are none, or None), of a classifier `accuracy`
        and `accuracy_int8`, and of numbers `rmse` and `rmse_int8`; for ONNX `largest_difference` from the
        runtime, None without onnxruntime.

    Raises
    ------
    UsageError, TruesparseError
        An argument cannot be right, the model cannot be read or expressed, or the folder not written.
    """
    if target not in TARGETS:
        raise unknown_name("form", target, TARGETS)
    if dtype not in DTYPES:
        raise unknown_name("type", dtype, DTYPES)
    form = TARGETS[target]
    if not form.named and (dtype, name) != ("float32", "model"):
        raise UsageError(f"--dtype and --name are for C, not for {target}; leave them out")
    file = find_model(path)
    with Reader(file) as reader:
        stored = read_model(reader).with_scores_as_said().with_sparse_output()
    stored.check_finite()
    with new_folder(out) as folder:
        report = form.write(stored, folder, *((name, dtype) if form.named else ()))
        if dtype == "int8":
            report |= cost_of_rounding(stored, None if data is None else Path(data))
        files = {entry.name: entry.stat().st_size for entry in sorted(folder.iterdir())}
    dense = stored.chain.dense_parameters + sum(vector.size for vector in stored.vectors.values())
    return {"files": files, "dense_bytes": 4 * dense, **report}
