"""Models from PyTorch: what the tensors of a state dict are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError, UsageError
from truesparse.export.imported import Array, Dense, head_of
from truesparse.export.state_dict import Tensors
from truesparse.layers.bidirectional.spec import DIRECTIONS, Bidirectional
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.models import ONE_DIRECTION
from truesparse.layers.output.spec import Softmax
from truesparse.layers.parts import part
from truesparse.layers.pool.spec import Pool
from truesparse.layers.registry import cells
from truesparse.layers.spec import STEPS, LayerSpec, Recurrent, Signal

_RECURRENT = re.compile(
    r"(?P<prefix>.*?)(?P<part>(weight|bias)_(ih|hh)|weight_hr)_l(?P<layer>[0-9]{1,4})(?P<reverse>_reverse)?"
)
# Weights that are computed from others: by `torch.nn.utils.parametrize`, or by its older `weight_norm`.
_COMPUTED = re.compile(r".*\.parametrizations\..*|.*weight_hh_l\d+_(g|v|raw|orig)")
WAYS = tuple(f"{way}." for way in DIRECTIONS)  # what names of parameters of each begin with
# What people call the two other layers.
_EMBEDDING = re.compile("emb|encoder|wte|lookup")
_OUTPUT = re.compile("dec|out|head|fc|linear|proj|classif")


def as_dense(
    tensors: Tensors,
    source: str,
    embedding: str | None = None,
    output: str | None = None,
    pooling: str | None = None,
    numbers: bool = False,
) -> Dense:
    """Make a model of a state dict: an embedding, an LSTM or a GRU, a linear layer. Without an embedding, it
    reads features.

    Parameters
    ----------
    tensors : dict of str to ndarray of float32
    source : str
        What messages call it.
    embedding, output, pooling, numbers
        As in `truesparse.export.imported.read_dense`.

    Raises
    ------
    UsageError, TruesparseError
        It is no such model, or has more than truesparse can express.
    """
    prefix = _shared_prefix(tensors)
    left = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    embedding, output = (name and name.removeprefix(prefix) for name in (embedding, output))
    recurrent = _take_recurrent(left, source)
    first, arrays = recurrent[0]
    both = isinstance(first, Bidirectional)
    inputs, units = next(iter(arrays.values())).shape[1], first.output(Signal(STEPS, 1)).size
    widths = [tensor.shape[1] for tensor in left.values() if tensor.ndim == 2]
    table = None
    if embedding or widths != [units] or inputs == units:
        name = embedding or _choose(left, inputs, _EMBEDDING, _OUTPUT, "embedding", source)
        table = _take(left, name, "embedding", source)
        _need_shape("embedding.weight", table, (len(table), inputs), source)
    weight = table
    if output or any(tensor.ndim == 2 for tensor in left.values()):
        name = output or _choose(left, units, _OUTPUT, _EMBEDDING, "output", source)
        weight = _take(left, name, "output", source)
        _need_shape("output.weight", weight, (len(weight), units), source)
    if weight is None or weight.shape[1] != units:
        raise TruesparseError(
            f"{source} has no matrix for the output layer; give a model with an output layer"
        )
    biases = [key for key, tensor in left.items() if tensor.shape == (len(weight),)]
    bias = left.pop(biases[0]) if biases else np.zeros(len(weight), np.float32)
    if left:
        raise TruesparseError(
            f"{source} has {', '.join(sorted(left)[:3])}, for which an embedding, an {_known()} and an output"
            f" layer have no place; take such layers out of the module"
        )
    tokens = 0 if table is None else len(table)
    pooling = pooling or ("none" if len(weight) == tokens else "last")
    per_step = pooling == "none"
    if both and per_step and len(weight) == tokens:
        raise TruesparseError(
            f"{source} reads in both directions, but {ONE_DIRECTION}; give one that does not"
        )
    head: tuple[LayerSpec, dict[str, Array]] = head_of(weight, bias, numbers, per_step, tokens)
    layers: list[tuple[LayerSpec, Mapping[str, Array]]] = []
    if table is not None:
        layers = [(Embedding(*table.shape), {"weight": table})]
        if per_step and not numbers and np.array_equal(weight, table):
            head = Softmax(tokens, tied=True), {"bias": bias}
    layers += [*recurrent, *([] if per_step else [(Pool(pooling), {})]), head]
    return Dense.of(layers, 0 if tokens else inputs, source)


def _importable() -> dict[str, type[Recurrent]]:
    """The cells whose vectors can be made of PyTorch's biases."""
    return {name: spec for name, spec in cells().items() if part(spec, "vectors")}


def _known() -> str:
    """What PyTorch calls them: classes of the same names."""
    return " or ".join(spec.__name__ for spec in _importable().values())


def _take_recurrent(left: Tensors, source: str) -> list[tuple[LayerSpec, Tensors]]:
    """The recurrent layers and each one's tensors by the names of truesparse; removes them from `left`."""
    matches = {name: match for name in left if (match := _RECURRENT.fullmatch(name))}
    _check_names(matches, left, source)
    ends = ("", "_reverse") if any(match["reverse"] for match in matches.values()) else ("",)
    count = 1 + max(int(match["layer"]) for match in matches.values())
    layers: list[dict[str, Tensors]] = [{end: {} for end in ends} for _ in range(count)]
    for name, match in matches.items():
        layers[int(match["layer"])][match["reverse"] or ""][match["part"]] = left.pop(name)
    for number, layer in enumerate(layers):
        for end, own in layer.items():
            for name in ("weight_ih", "weight_hh"):
                called = f"{name}_l{number}{end}"
                if name not in own:
                    raise TruesparseError(f"{source} has no {called}, so its {_known()} is not whole")
                if own[name].ndim != 2:
                    raise TruesparseError(f"{called} in {source} is no matrix, so there is no {_known()}")
    rows, units = layers[0][""]["weight_hh"].shape
    if rows == units:
        raise TruesparseError(f"{source} has an nn.RNN, and only an {_known()} can be imported")
    blocks = {len(spec.GATES) * units: name for name, spec in _importable().items()}
    cell = blocks.get(rows, next(iter(blocks.values())))
    spec = cells()[cell]
    rows = len(spec.GATES) * units
    one: LayerSpec = spec(units) if len(ends) == 1 else Bidirectional(spec(units))
    found: list[tuple[LayerSpec, Tensors]] = []
    inputs = layers[0][""]["weight_ih"].shape[1]
    for number, layer in enumerate(layers):
        arrays: Tensors = {}
        for way, own in zip(("",) if len(ends) == 1 else WAYS, layer.values(), strict=True):
            biases = [own.get(name, np.zeros(rows, np.float32)) for name in ("bias_ih", "bias_hh")]
            _need_shape(f"{cell}.{number}.{way}weight_ih", own["weight_ih"], (rows, inputs), source)
            _need_shape(f"{cell}.{number}.{way}weight_hh", own["weight_hh"], (rows, units), source)
            if any(bias.shape != (rows,) for bias in biases):
                raise TruesparseError(f"{source} has biases of different sizes in layer {number}")
            matrices = {name: own[name] for name in ("weight_ih", "weight_hh")}
            vectors = part(spec, "vectors")(*biases)
            arrays |= {f"{way}{name}": array for name, array in (matrices | vectors).items()}
        found.append((one, arrays))
        inputs = len(ends) * units
    return found


def _check_names(matches: Mapping[str, re.Match[str]], names: Iterable[str], source: str) -> None:
    """Raise TruesparseError with the reason if these tensors are not those of one module."""
    computed = next((name for name in names if _COMPUTED.fullmatch(name)), None)
    if computed:
        raise TruesparseError(
            f"{source} has {computed}, from which a weight is computed; save the module without"
            f" parametrizations and hooks"
        )
    for name, match in matches.items():
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


def _need_shape(name: str, tensor: Array, shape: tuple[int, ...], source: str) -> None:
    if tensor.shape != shape:
        raise TruesparseError(
            f"what is to be {name} has shape {tensor.shape} in {source}, not {shape}: that is no"
            f" model of an {_known()} with layers of one size"
        )
