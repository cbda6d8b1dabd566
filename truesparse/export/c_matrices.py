"""Weights as constant arrays of C, and the functions that multiply by them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR, join_groups, row_steps
from truesparse.errors import TruesparseError
from truesparse.export.c_arrays import C_TYPES, Constants, read_template
from truesparse.export.quantise import quantise
from truesparse.layers.chain import EMBEDDING, ChainSpec
from truesparse.layers.output.spec import SquaredError
from truesparse.layers.source import identifier
from truesparse.layers.spec import Matrix
from truesparse.layers.standardize.spec import Standardize
from truesparse.modelfile import StoredModel

# Tokens from one start to the next. Lengths between are added up, which saves bytes in large vocabularies.
_TOKENS_PER_START = 16

# What stands for these in the templates, with weights of 4 bytes, and of 1 byte with a scale for each row.
_EXPRESSIONS = {
    "float32": {
        "weight": "float",
        "scales_comment": "",
        "scales_members": "",
        "cast": "",
        "scale": "",
        "embedding_scale": "",
        "column_scale": "",
    },
    "int8": {
        "weight": "int8_t",
        "scales_comment": " A weight is\n"
        " * what stands there times the scale of its row, which is a multiple of a step.",
        "scales_members": "\n    const uint16_t *scales;\n    float step;",
        "cast": "(float)",
        "scale": "(w->step * (float)w->scales[row]) * ",
        "embedding_scale": "({embedding}_unit * (float){embedding}_scales[token])\n            * ",
        "column_scale": "({first}_unit * (float){first}_scales[row]) * ",
    },
}
# Of the first matrix, by columns: what an entry adds.
_COLUMN = "            y[{first}_places[k]] += {cast}{first}_weights[k] * x;"
_COLUMN_OF_GROUPS = """\
            const size_t start = (size_t){first}_places[k] * {next_group};
            size_t i;
            for (i = 0; i < {size}; i++) {{
                y[start + i * {next_row}] += {cast}{first}_weights[(size_t)k * {size} + i] * x;
            }}"""


class _Group(NamedTuple):
    """How many rows of a matrix share their columns, and how far apart groups and rows of a group begin."""

    size: int
    next_group: int
    next_row: int

    @classmethod
    def of(cls, matrix: Matrix) -> _Group:
        return cls(matrix.group, *row_steps(matrix.shape[0], matrix.blocks, matrix.group))


class Matrices(NamedTuple):
    """What is put into the templates, and the bytes of constant arrays.

    Attributes
    ----------
    text : dict of str to str
    products : dict of str to str
        For each matrix that is multiplied by a vector, the call without its arguments `y` and `x`: a format
        string.
    flash : int
    """

    text: dict[str, str]
    products: dict[str, str]
    flash: int


def write_matrices(stored: StoredModel, dtype: str, prefix: str) -> Matrices:
    """Write a model's matrices and biases.

    Parameters
    ----------
    stored : StoredModel
        With a sparse output layer.
    dtype : {"float32", "int8"}
        Of the weights.
    prefix : str
        What all names begin with.

    Raises
    ------
    TruesparseError
        A matrix has more than 2^32 - 1 weights.
    """
    constants, kinds, products = Constants(), {}, {}
    first = [] if stored.chain.whole else first_matrices(stored.chain)
    groups = {matrix.name: _Group.of(matrix) for matrix in stored.chain.matrices}
    for name, csr in stored.matrices.items():
        group = groups[name]
        if csr.data.size >= 1 << 32:
            raise TruesparseError(
                f"{name} has {csr.data.size:,} weights, too many for C; use a lower density"
            )
        own, step = identifier(prefix, name), None
        if dtype == "int8":
            rounded = quantise(csr)
            csr = csr._replace(data=rounded.data)  # type: ignore[arg-type]
            constants.array(f"{own}_scales", rounded.scales)
            step = rounded.step
        csr = join_groups(csr, group.size, group[1:])
        if name in first:
            _write_columns(constants, own, csr, group.size, step)
            products[name] = f"{_reader(prefix, first, name)}({{y}}, {{x}}, token);"
            continue
        lengths = _narrowed(np.diff(csr.indptr))
        indices = _narrowed(csr.indices, csr.shape[1] - 1)
        constants.array(f"{own}_lengths", lengths)
        constants.array(f"{own}_places", indices)
        constants.array(f"{own}_weights", csr.data)
        if name == EMBEDDING:
            constants.array(f"{own}_starts", csr.indptr[:-1:_TOKENS_PER_START].astype(np.uint32))
            constants.number(f"{own}_unit", step)
        if name != EMBEDDING or stored.chain.head.tied:
            kind = f"{8 * indices.itemsize}_{8 * lengths.itemsize}"
            types = {"index": C_TYPES[indices.dtype.name], "length": C_TYPES[lengths.dtype.name]}
            members = [f"{csr.shape[0]}"]
            if group.size > 1:
                kind = f"{kind}_by_{group.size}"
                members += [f"{group.next_group}", f"{group.next_row}"]
            kinds[kind] = {**types, "group": f"{group.size}"}
            members += [f"{own}_lengths", f"{own}_places", f"{own}_weights"]
            if step is not None:
                members += [f"{own}_scales", f"{step:.8e}f"]
            constants.raw(f"static const {prefix}_matrix_{kind} {own} = {{{', '.join(members)}}};\n")
            products[name] = f"{prefix}_add_product_{kind}({{y}}, &{own}, {{x}});"
    for name, vector in (stored.vectors | _scalings(stored.chain)).items():
        constants.array(identifier(prefix, name), vector)
    places = {"embedding": identifier(prefix, EMBEDDING)}
    column_scale = _EXPRESSIONS[dtype]["column_scale"]
    expressions = {
        key: value.format(**places) for key, value in _EXPRESSIONS[dtype].items() if key != "column_scale"
    }
    readers = []
    for name in first:
        own, group = identifier(prefix, name), groups[name]
        column = _COLUMN if group.size == 1 else _COLUMN_OF_GROUPS
        reader = read_template("read_token.c").safe_substitute(
            function=_reader(prefix, first, name),
            first=own,
            rows=str(stored.matrices[name].shape[0]),
            column_sums=column.format(first=own, cast=expressions["cast"], **group._asdict()),
            column_scale=column_scale.format(first=own),
        )
        readers.append(reader)
    upper = prefix.upper()
    functions = [
        read_template("product.c" if types["group"] == "1" else "groups.c").substitute(
            expressions,
            upper=upper,
            each="for" if types["group"] == "3" else f"{upper}_EACH",
            type=f"{prefix}_matrix_{kind}",
            function=f"{prefix}_add_product_{kind}",
            **types,
        )
        for kind, types in kinds.items()
    ]
    by = groups[EMBEDDING].size if stored.chain.tokens else 1
    text = {
        **expressions,
        **places,
        "embedded": str(stored.chain.split()[0][0].given.size),
        "readers": "".join(readers) if first else read_template("look_up.c").template,
        "embedding_row": "token" if by == 1 else f"token / {by}",
        "embedding_place": "e" if by == 1 else f"(size_t)e * {by} + token % {by}",
        "products": "\n".join(functions),
        "arrays": "\n".join(constants.definitions),
        "tokens_per_start": str(_TOKENS_PER_START),
    }
    return Matrices(text, products, constants.bytes)


def _scalings(chain: ChainSpec) -> dict[str, NDArray[np.float32]]:
    """Means and scales of features and numbers, by names like those of vectors."""
    return {
        f"{place.name}.{part}": np.array(getattr(place.spec, part), np.float32)
        for place in chain.places
        if isinstance(place.spec, Standardize | SquaredError) and place.spec.mean
        for part in ("mean", "scale")
    }


def first_matrices(chain: ChainSpec) -> list[str]:
    """The matrices that multiply an embedding, if there is one. They are stored by columns: few of them meet
    a weight.

    There is none if the first layer reads the numbers of the embedding themselves.
    """
    if not chain.tokens:
        return []
    place = chain.split()[0][0]
    return [] if place.inner else [matrix.name for matrix in place.matrices if matrix.reads == "input"]


def _reader(prefix: str, first: list[str], name: str) -> str:
    """What the function is called that multiplies one of the first matrices by an embedding."""
    number = first.index(name)
    return f"{prefix}_read_token{f'_{number}' if number else ''}"


def _write_columns(constants: Constants, own: str, csr: CSR, group: int, step: np.float32 | None) -> None:
    order = np.arange(csr.indices.size)
    columns = csr._replace(data=order).transposed()  # type: ignore[arg-type]
    constants.array(f"{own}_starts", columns.indptr.astype(np.uint32))
    constants.array(f"{own}_places", _narrowed(columns.indices, csr.shape[0] - 1))
    constants.array(f"{own}_weights", csr.data.reshape(-1, group)[columns.data].ravel())
    constants.number(f"{own}_unit", step)


def _narrowed(values: NDArray[np.integer], largest: int | None = None) -> NDArray[np.unsignedinteger]:
    """Numbers from 0 to `largest`, or the largest there is, in the narrowest type that holds it."""
    return values.astype(np.min_scalar_type(int(values.max()) if largest is None else largest))
