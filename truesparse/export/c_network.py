"""The parts of the C source that depend on what a model computes: state, statements of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from truesparse.errors import TruesparseError
from truesparse.export.c_arrays import TEMPLATES, read_template
from truesparse.export.c_head import head
from truesparse.export.c_matrices import identifier, write_matrices
from truesparse.modelfile import Architecture, StoredModel
from truesparse.modelfile.architecture import CELLS
from truesparse.runtime.layers import LAYERS


class Network(NamedTuple):
    """What is put into the templates, and the bytes of constant arrays and of a state."""

    text: dict[str, str]
    flash: int
    state_bytes: int


def network(stored: StoredModel, dtype: str, name: str) -> Network:
    """Write a model's arrays and what is done with them.

    Parameters
    ----------
    stored : StoredModel
        With a sparse output layer.
    dtype : {"float32", "int8"}
        Of the weights.
    name : str
        What names begin with.

    Raises
    ------
    TruesparseError
        The model is of a cell that has no template, or of more than 2^32 - 1 weights in a matrix.
    """
    architecture = stored.architecture
    cell, units = architecture.cell, architecture.hidden_size
    if not (TEMPLATES / f"{cell}.c").is_file():
        raise TruesparseError(f"there is no C source for the cell {cell}; export to another form")
    parts = LAYERS[cell].PARTS
    rows = len(CELLS[cell].gates) * units
    upper = name.upper()
    weights = write_matrices(stored, dtype, name)
    top = head(stored, name, weights.products)
    state = [f"    float {part}[{upper}_LAYERS][{upper}_UNITS];" for part in parts]
    state += top.members
    state.append(f"    float gates[{rows}]; /* room for a step */")
    text = {
        **weights.text,
        "rows": str(rows),
        "state": "\n".join(state),
        "reset": "\n".join(f"            state->{part}[layer][j] = 0.0f;" for part in parts),
        "cell": read_template(f"{cell}.c").substitute(name=name, upper=upper),
        "step": "\n".join(f"    {line}" for line in _step(architecture, parts, rows, weights.products, name)),
        **top.text,
    }
    state_bytes = 4 * (len(parts) * architecture.layers * units + rows) + top.state_bytes
    return Network(text, weights.flash, state_bytes)


def _step(
    architecture: Architecture, parts: tuple[str, ...], rows: int, products: Mapping[str, str], prefix: str
) -> list[str]:
    """Statements that read `token` and carry the state on."""
    statements = []
    for layer, name in enumerate(architecture.layer_names):
        own = [matrix for matrix in architecture.matrices if matrix.startswith(f"{name}.weight_hh")]
        biases = [identifier(prefix, bias) for bias in architecture.biases if bias.startswith(f"{name}.")]
        for level, (matrix, bias) in enumerate(zip(own, biases, strict=True)):
            if level == 0 and layer == 0:
                statements.append(f"{prefix}_read_token(state->gates, {bias}, token);")
            else:
                statements.append(f"{prefix}_copy(state->gates, {bias}, {rows});")
                if level == 0:
                    inputs = products[f"{name}.weight_ih"]
                    statements.append(inputs.format(y="state->gates", x=f"state->h[{layer - 1}]"))
            statements.append(products[matrix].format(y="state->gates", x=f"state->h[{layer}]"))
            state = ", ".join(f"state->{part}[{layer}]" for part in parts)
            statements.append(f"{prefix}_{architecture.cell}({state}, state->gates);")
    return statements
