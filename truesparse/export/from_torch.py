"""Models from PyTorch: a state dict, its largest weights kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR, narrow_index_dtype
from truesparse.data import Vocabulary
from truesparse.data.files import read_text, without_packing
from truesparse.data.words import Level
from truesparse.errors import TruesparseError, UsageError
from truesparse.export.state_dict import Tensors, read_state_dict
from truesparse.layers.models import language_model
from truesparse.layers.parts import part
from truesparse.layers.registry import cells
from truesparse.layers.spec import Recurrent
from truesparse.model.saving import save_model
from truesparse.sparse import Arena, Pattern

_RECURRENT = re.compile(
    r"(?P<prefix>.*?)(?P<part>(weight|bias)_(ih|hh)|weight_hr)_l(?P<layer>[0-9]{1,4})(?P<reverse>_reverse)?"
)
# Weights that are computed from others: by `torch.nn.utils.parametrize`, or by its older `weight_norm`.
_COMPUTED = re.compile(r".*\.parametrizations\..*|.*weight_hh_l\d+_(g|v|raw|orig)")
# What people call the two other layers.
_EMBEDDING = re.compile("emb|encoder|wte|lookup")
_OUTPUT = re.compile("dec|out|head|fc|linear|proj|classif")


def import_torch(
    path: Path,
    out: Path,
    density: float,
    vocabulary: Path | None = None,
    embedding: str | None = None,
    output: str | None = None,
) -> dict[str, Any]:
    """Make a model file of the state dict of a language model: an embedding, an LSTM or GRU, a linear layer.

    Of each matrix the largest weights are kept; biases stay dense.

    Parameters
    ----------
    path : Path
        What `torch.save(module.state_dict(), path)` or safetensors wrote.
    out : Path
        The model file to write.
    density : float
        Fraction of the positions of each matrix to keep, in (0, 1].
    vocabulary : Path, optional
        See `read_vocabulary`. Without it, the model reads numbers only.
    embedding, output : str, optional
        Names of these layers' matrices in the state dict, if they cannot be told by shapes and names.

    Returns
    -------
    dict
        `matrices`: for each by name `shape`, `nnz`, `density` and `kept`, the fraction of the sum of squares
        that is left; `tied`; `out`.

    Raises
    ------
    UsageError, TruesparseError
        An argument cannot be right, the file cannot be read, or is not of such a model.
    """
    from truesparse.model import Model  # which needs kernels

    if not 0 < density <= 1:
        raise UsageError(f"--density is {density:g}; it must be above 0 and at most 1")
    if out.exists():
        raise UsageError(f"{out} exists; choose another --out or remove it")
    words = None if vocabulary is None else read_vocabulary(vocabulary)
    cell, dense = as_language_model(read_state_dict(path), str(path), embedding, output)
    tokens, inputs = dense["embedding.weight"].shape
    units = dense[f"{cell}.0.weight_hh"].shape[1]
    if words is not None and len(words) != tokens:
        raise TruesparseError(f"{vocabulary} has {len(words):,} tokens, the embedding of {path} {tokens:,}")
    tied = "output.weight" not in dense
    layers = sum(name.endswith("weight_hh") for name in dense)
    chain = language_model(tokens, inputs, units, layers, cell, tied=tied)
    pruned = {matrix.name: keep_largest(dense[matrix.name], density) for matrix in chain.matrices}
    patterns = {
        matrix.name: (Pattern(csr.indptr, csr.indices, csr.shape), matrix.blocks)
        for matrix, csr in zip(chain.matrices, pruned.values(), strict=True)
    }
    arena = Arena(patterns, {vector.name: vector.size for vector in chain.vectors})
    for name, csr in pruned.items():
        arena.matrices[name].data[...] = csr.data
    for name, bias in arena.biases.items():
        bias[...] = dense[name]
    arena.touch()
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    save_model(out, Model(chain, arena), words)
    matrices = {
        name: {
            "shape": list(csr.shape),
            "nnz": csr.data.size,
            "density": csr.data.size / dense[name].size,
            "kept": _squares(csr.data) / (_squares(dense[name]) or 1.0),
        }
        for name, csr in pruned.items()
    }
    return {"out": str(out), "tied": tied, "matrices": matrices}


def as_language_model(
    tensors: Tensors, source: str, embedding: str | None, output: str | None
) -> tuple[str, Tensors]:
    """Give the tensors of a state dict the names that truesparse has for them.

    Parameters
    ----------
    tensors : dict of str to ndarray of float32
    source : str
        What messages call it.
    embedding, output : str, optional
        Names of matrices.

    Returns
    -------
    cell : str
        What the recurrent layers are.
    tensors : dict of str to ndarray of float32
        Without ``output.weight`` if it is that of the embedding.

    Raises
    ------
    UsageError, TruesparseError
        It is no such model, or has more than truesparse can express.
    """
    prefix = _shared_prefix(tensors)
    left = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    embedding, output = (name and name.removeprefix(prefix) for name in (embedding, output))
    cell, found = _take_recurrent(left, source)
    inputs, units = found[f"{cell}.0.weight_ih"].shape[1], found[f"{cell}.0.weight_hh"].shape[1]
    name = embedding or _choose(left, inputs, _EMBEDDING, _OUTPUT, "embedding", source)
    found["embedding.weight"] = table = _take(left, name, "embedding", source)
    tokens = table.shape[0]
    _need_shape(found, "embedding.weight", (tokens, inputs), source)
    matrices = [key for key, tensor in left.items() if tensor.ndim == 2]
    if matrices or output:
        name = output or _choose(left, units, _OUTPUT, _EMBEDDING, "output", source)
        weight = _take(left, name, "output", source)
        if not np.array_equal(weight, table):
            found["output.weight"] = weight
            _need_shape(found, "output.weight", (tokens, units), source)
    elif inputs != units:
        raise TruesparseError(f"{source} has no matrix for the output layer; it is no language model")
    biases = [key for key, tensor in left.items() if tensor.shape == (tokens,)]
    found["output.bias"] = left.pop(biases[0]) if biases else np.zeros(tokens, np.float32)
    if left:
        raise TruesparseError(
            f"{source} has {', '.join(sorted(left)[:3])}, for which an embedding, an {_known()} and an output"
            f" layer have no place; take such layers out of the module"
        )
    for name, tensor in found.items():
        if not np.isfinite(tensor).all():
            raise TruesparseError(f"{source} has values that are not finite in what is to be {name}")
    return cell, found


def _importable() -> dict[str, type[Recurrent]]:
    """The cells whose vectors can be made of PyTorch's biases."""
    return {name: spec for name, spec in cells().items() if part(spec, "vectors")}


def _known() -> str:
    """What PyTorch calls them: classes of the same names."""
    return " or ".join(spec.__name__ for spec in _importable().values())


def _take_recurrent(left: Tensors, source: str) -> tuple[str, Tensors]:
    """The cell, and its layers' tensors by the names of truesparse; removes them from `left`."""
    matches = {name: match for name in left if (match := _RECURRENT.fullmatch(name))}
    _check_names(matches, left, source)
    layers: list[Tensors] = [{} for _ in range(1 + max(int(match["layer"]) for match in matches.values()))]
    for name, match in matches.items():
        layers[int(match["layer"])][match["part"]] = left.pop(name)
    for number, layer in enumerate(layers):
        for name in ("weight_ih", "weight_hh"):
            if name not in layer:
                raise TruesparseError(f"{source} has no {name}_l{number}, so its {_known()} is not whole")
            if layer[name].ndim != 2:
                raise TruesparseError(f"{name}_l{number} in {source} is no matrix, so there is no {_known()}")
    rows, units = layers[0]["weight_hh"].shape
    if rows == units:
        raise TruesparseError(f"{source} has an nn.RNN, and only an {_known()} can be imported")
    blocks = {len(spec.GATES) * units: name for name, spec in _importable().items()}
    cell = blocks.get(rows, next(iter(blocks.values())))
    spec = cells()[cell]
    rows = len(spec.GATES) * units
    found: Tensors = {}
    for number, layer in enumerate(layers):
        inputs = layers[0]["weight_ih"].shape[1] if number == 0 else units
        biases = [layer.get(name, np.zeros(rows, np.float32)) for name in ("bias_ih", "bias_hh")]
        own = {f"{cell}.{number}.{name}": layer[name] for name in ("weight_ih", "weight_hh")}
        _need_shape(own, f"{cell}.{number}.weight_ih", (rows, inputs), source)
        _need_shape(own, f"{cell}.{number}.weight_hh", (rows, units), source)
        if any(bias.shape != (rows,) for bias in biases):
            raise TruesparseError(f"{source} has biases of different sizes in layer {number}")
        vectors = part(spec, "vectors")(*biases)
        found |= own | {f"{cell}.{number}.{name}": vector for name, vector in vectors.items()}
    return cell, found


def _check_names(matches: Mapping[str, re.Match[str]], names: Iterable[str], source: str) -> None:
    """Raise TruesparseError with the reason if these tensors are not those of one module of one direction."""
    computed = next((name for name in names if _COMPUTED.fullmatch(name)), None)
    if computed:
        raise TruesparseError(
            f"{source} has {computed}, from which a weight is computed; save the module without"
            f" parametrizations and hooks"
        )
    for name, match in matches.items():
        if match["reverse"]:
            raise TruesparseError(
                f"{source} has layers of two directions ({name}), but a text is read in one; train one that"
                f" is not bidirectional"
            )
        if match["part"] == "weight_hr":
            raise TruesparseError(
                f"{source} has an LSTM with projections ({name}), for which there is no place; train one"
                f" without proj_size"
            )
    prefixes = sorted({match["prefix"] for match in matches.values()})
    if len(prefixes) > 1:
        raise TruesparseError(
            f"{source} has {len(prefixes)} recurrent modules, {', '.join(map(repr, prefixes[:3]))}, but only"
            f" one can be imported; its layers have to be those of one {_known()} of PyTorch"
        )
    if not prefixes:
        raise TruesparseError(
            f"{source} has no {_known()}; it needs weight_ih_l0, weight_hh_l0 and so on, of such a module"
        )


def _shared_prefix(names: Iterable[str]) -> str:
    """What all names have in common up to a dot, which says nothing: such as "module.", or "decoder."."""
    shared = ""
    for level in zip(*(name.split(".")[:-1] for name in names), strict=False):
        if len(set(level)) > 1:
            break
        shared += f"{level[0]}."
    return shared


def _choose(
    left: Tensors, columns: int, hint: re.Pattern[str], other: re.Pattern[str], what: str, source: str
) -> str:
    """The name of the matrix that must be the one wanted, by its shape or else by its name."""
    names = [name for name, tensor in left.items() if tensor.ndim == 2 and tensor.shape[1] == columns]
    for narrower in (
        names,
        [name for name in names if hint.search(name.lower())],
        [name for name in names if not other.search(name.lower())],
    ):
        if len(narrower) == 1:
            return narrower[0]
    candidates = f"{' or '.join(sorted(names)[:4])} could be it" if names else f"none has {columns} columns"
    raise TruesparseError(
        f"cannot tell which matrix of {source} is the {what} layer's: {candidates}; name it with --{what}"
    )


def _take(left: Tensors, name: str, what: str, source: str) -> NDArray[np.float32]:
    if name not in left or left[name].ndim != 2:
        known = ", ".join(sorted(key for key, tensor in left.items() if tensor.ndim == 2))
        raise UsageError(f"{source} has no matrix {name!r} for --{what}; its matrices are {known or 'none'}")
    return left.pop(name)


def _need_shape(found: Tensors, name: str, shape: tuple[int, ...], source: str) -> None:
    if found[name].shape != shape:
        raise TruesparseError(
            f"what is to be {name} has shape {found[name].shape} in {source}, not {shape}: that is no"
            f" language model of an {_known()} with layers of one size"
        )


def keep_largest(dense: NDArray[np.float32], density: float) -> CSR:
    """Keep the entries of largest magnitude.

    Parameters
    ----------
    dense : ndarray of float32, shape (rows, columns)
    density : float
        Fraction to keep, in (0, 1]; at least one entry is kept.
    """
    count = max(1, round(density * dense.size))
    kept = np.argpartition(np.abs(dense).reshape(-1), dense.size - count)[dense.size - count :]
    kept.sort()
    rows, columns = np.divmod(kept, dense.shape[1])
    indptr = np.searchsorted(rows, np.arange(dense.shape[0] + 1)).astype(np.int64)
    return CSR(
        indptr,
        columns.astype(narrow_index_dtype(dense.shape[1])),
        np.ascontiguousarray(dense).reshape(-1)[kept],
        (dense.shape[0], dense.shape[1]),
    )


def read_vocabulary(path: Path) -> Vocabulary:
    """Read what the tokens are.

    Parameters
    ----------
    path : Path
        JSON (``.json``): a list of tokens in the order of their numbers, or an object of tokens and numbers.
        Any other file: a token a line. If all tokens are single characters, text is read by characters.

    Raises
    ------
    TruesparseError
        The file cannot be read, is something else, or has a token twice.
    """
    text = read_text(path)
    try:
        is_json = without_packing(path.name).lower().endswith(".json")
        tokens = json.loads(text) if is_json else text.removesuffix("\n").split("\n")
    except ValueError:
        raise TruesparseError(f"{path} is not valid JSON") from None
    if isinstance(tokens, dict):
        by_number = {number: token for token, number in tokens.items() if type(number) is int}
        if by_number.keys() != set(range(len(tokens))):
            raise TruesparseError(f"{path} does not number its {len(tokens):,} tokens from 0 on")
        tokens = [by_number[number] for number in range(len(tokens))]
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise TruesparseError(f"{path} is neither a list of tokens nor an object of tokens and numbers")
    level: Level = "char" if tokens and all(len(token) == 1 for token in tokens) else "word"
    return Vocabulary(tuple(tokens), level)


def _squares(array: NDArray[np.float32]) -> float:
    return float(np.square(array, dtype=np.float64).sum())
