"""The parts of the C source that depend on what a model computes: arrays, state, statements of a step."""

from __future__ import annotations

from importlib import resources
from string import Template
from typing import NamedTuple

import numpy as np

from truesparse.errors import TruesparseError
from truesparse.export.c_arrays import C_TYPES, array
from truesparse.export.quantise import quantise
from truesparse.modelfile import Architecture, StoredModel, narrow_index_dtype
from truesparse.modelfile.architecture import CELLS
from truesparse.runtime.layers import LAYERS

# What stands for these in model.c, with weights of 4 bytes and of 1 byte with a scale for each row.
_EXPRESSIONS = {
    "float32": {
        "weight": "float",
        "scales_comment": "",
        "scales_member": "",
        "product": "weights[k]",
        "scale": "",
        "embedding": "embedding_weight.weights[e]",
        "column_product": "w->weights[k]",
        "column_scale": "y[row]",
    },
    "int8": {
        "weight": "int8_t",
        "scales_comment": " A weight\n * is what stands there times the scale of its row.",
        "scales_member": "\n    const float *scales;",
        "product": "(float)weights[k]",
        "scale": "w->scales[row] * ",
        "embedding": "embedding_weight.scales[token] * (float)embedding_weight.weights[e]",
        "column_product": "(float)w->weights[k]",
        "column_scale": "w->scales[row] * y[row]",
    },
}


class Network(NamedTuple):
    """What is put into the templates, and the bytes of constant arrays and of a state."""

    text: dict[str, str]
    flash: int
    state_bytes: int


def read_template(name: str) -> Template:
    """A file of C source with ``$`` before what is to be put in."""
    return Template((resources.files("truesparse.export") / "c" / name).read_text(encoding="utf-8"))


def network(stored: StoredModel, dtype: str, upper: str) -> Network:
    """Write a model's arrays and what is done with them.

    Parameters
    ----------
    stored : StoredModel
    dtype : {"float32", "int8"}
        Of the weights.
    upper : str
        What the names of macros begin with.

    Raises
    ------
    TruesparseError
        The model is of a cell that has no template, or of more than 2^32 - 1 weights in a matrix.
    """
    architecture = stored.architecture
    cell, units = architecture.cell, architecture.hidden_size
    if not (resources.files("truesparse.export") / "c" / f"{cell}.c").is_file():
        raise TruesparseError(f"there is no C source for the cell {cell}; export to another form")
    parts = LAYERS[cell].PARTS
    rows = CELLS[cell].gates * units
    arrays, flash = _arrays(stored, dtype)
    state = [f"    float {part}[{upper}_LAYERS][{upper}_UNITS];" for part in parts]
    state.append(f"    float gates[{rows}]; /* room for a step */")
    text = {
        **_EXPRESSIONS[dtype],
        "index": C_TYPES[_index_type(stored)],
        "arrays": arrays,
        "state": "\n".join(state),
        "reset": "\n".join(f"            state->{part}[layer][j] = 0.0f;" for part in parts),
        "cell": read_template(f"{cell}.c").substitute(upper=upper),
        "step": "\n".join(f"    {line}" for line in _step(architecture, parts, rows)),
        "output": "embedding_weight" if architecture.tied else "output_weight",
    }
    return Network(text, flash, 4 * (len(parts) * architecture.layers * units + rows))


def _step(architecture: Architecture, parts: tuple[str, ...], rows: int) -> list[str]:
    """Statements that read `token` and carry the state on."""
    statements = []
    for layer, name in enumerate(architecture.layer_names):
        own = [
            _identifier(matrix) for matrix in architecture.matrices if matrix.startswith(f"{name}.weight_hh")
        ]
        biases = [_identifier(bias) for bias in architecture.biases if bias.startswith(f"{name}.")]
        for level, (matrix, bias) in enumerate(zip(own, biases, strict=True)):
            if level == 0 and layer == 0:
                first = _identifier(_first_matrix(architecture))
                statements.append(f"read_token(state->gates, &{first}, {bias}, {rows}, token);")
            else:
                statements.append(f"copy(state->gates, {bias}, {rows});")
                if level == 0:
                    inputs = _identifier(f"{name}.weight_ih")
                    statements.append(f"add_product(state->gates, &{inputs}, state->h[{layer - 1}]);")
            statements.append(f"add_product(state->gates, &{matrix}, state->h[{layer}]);")
            state = ", ".join(f"state->{part}[{layer}]" for part in parts)
            statements.append(f"{architecture.cell}({state}, state->gates);")
    return statements


def _arrays(stored: StoredModel, dtype: str) -> tuple[str, int]:
    """Definitions of all arrays and matrices, and the bytes of their numbers."""
    definitions, flash = [], 0
    index = _index_type(stored)

    def define(name: str, values: np.ndarray) -> str:
        nonlocal flash
        flash += values.nbytes
        definitions.append(array(name, values))
        return name

    for name, csr in stored.matrices.items():
        if csr.data.size >= 1 << 32:
            raise TruesparseError(
                f"{name} has {csr.data.size:,} weights, too many for C; use a lower density"
            )
        own = _identifier(name)
        scales = []
        if dtype == "int8":
            quantised = quantise(csr)
            csr = csr._replace(data=quantised.data)  # type: ignore[arg-type]
            scales = [define(f"{own}_scales", quantised.scales)]
        lines = csr.transposed() if name == _first_matrix(stored.architecture) else csr
        members = [
            define(f"{own}_starts", lines.indptr.astype(np.uint32)),
            define(f"{own}_places", lines.indices.astype(index)),
            define(f"{own}_weights", lines.data),
            *scales,
        ]
        definitions.append(f"static const matrix {own} = {{{lines.shape[0]}, {', '.join(members)}}};\n")
    for name, bias in stored.biases.items():
        define(_identifier(name), bias)
    return "\n".join(definitions), flash


def _index_type(stored: StoredModel) -> str:
    """The narrowest type for the places in every matrix."""
    first = _first_matrix(stored.architecture)
    places = [
        rows if name == first else columns for name, (rows, columns) in stored.architecture.matrices.items()
    ]
    return narrow_index_dtype(max(places)).__name__


def _first_matrix(architecture: Architecture) -> str:
    """The matrix that multiplies an embedding. It is stored by columns: few of them meet a weight."""
    return f"{architecture.layer_names[0]}.weight_ih"


def _identifier(name: str) -> str:
    return name.replace(".", "_")
