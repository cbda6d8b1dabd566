"""The parts of the C source that depend on what a model computes: state, statements of a step."""

from __future__ import annotations

from typing import NamedTuple

from truesparse.errors import TruesparseError
from truesparse.export.c_head import head, pools, stack_note
from truesparse.export.c_matrices import first_matrices, write_matrices
from truesparse.export.layers import check_layers
from truesparse.layers.chain import Place
from truesparse.layers.output.spec import SquaredError
from truesparse.layers.parts import part
from truesparse.layers.source import ROOM, Source, identifier
from truesparse.modelfile import StoredModel

_RESET = """\
    for (j = 0; j < {size}; j++) {{
        {array}[j] = 0.0f;
    }}"""
_RESET_ALL = """\
    for (layer = 0; layer < {upper}_LAYERS; layer++) {{
        for (j = 0; j < {upper}_UNITS; j++) {{
{parts}
        }}
    }}"""


class NetworkText(NamedTuple):
    """What is put into the templates, and the bytes of constant arrays, a state and what scores take."""

    text: dict[str, str]
    flash: int
    state_bytes: int
    score_bytes: int


class _State(NamedTuple):
    """How the state of all layers lies in the caller's structure.

    Attributes
    ----------
    members : list of str
        Their declarations.
    parts : list of dict of str to str
        For each layer, where each part of its state stands, or its output `y` if it has none.
    top : str
        Where the output of the last layer stands.
    reset : str
        Statements that set all to zero, and before them the variables that they take.
    functions : list of str
        For each layer, the name of its function.
    units : list of str
        For each, the number of its units.
    """

    members: list[str]
    parts: list[dict[str, str]]
    top: str
    reset: str
    functions: list[str]
    units: list[str]


def network(stored: StoredModel, dtype: str, name: str) -> NetworkText:
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
        The model has a layer of which there is no C source, or more than 2^32 - 1 weights in a matrix.
    """
    chain = stored.chain
    check_source(stored)
    weights = write_matrices(stored, dtype, name)
    body, rest = chain.split()
    state = (_state_of_equals if are_equal(body) else _state)(body, name)
    x = None if chain.tokens else "features"
    members, step, embedded = [*state.members], [], 0
    if chain.tokens and not first_matrices(chain):  # else the embedding is multiplied as it is read
        x, embedded = "state->embedded", body[0].given.size
        members.append(f"    {_declaration(x, embedded)}")
        step.append(f"{name}_look_up({x}, token);")
    sources = _sources(body, state, weights.products, name, x)
    step += [line for source in sources for line in source.statements()]
    room = max(1, *(source.room for source in sources))  # C has no array of nothing
    pooled = "state->pooled" if pools(chain) else state.top
    behind = _variables(rest, pooled, name)
    last = _sources(rest, behind, weights.products, name, pooled)
    statements = [*behind.members, *(line for source in last for line in source.statements())]
    top = head(stored, name, weights.products, state.top, behind.top, statements)
    members += [*top.members, f"    {_declaration(ROOM, room)} /* room for a step */"]
    cells = {
        source.function: source.definition(units)
        for written, own in ((sources, state), (last, behind))
        for source, units in zip(written, own.units, strict=True)
    }
    variables = sum(place.output.size for place in rest) + max((source.stack for source in last), default=0)
    stack_bytes = 4 * variables + top.stack_bytes
    text = {
        **weights.text,
        "units": str(body[-1].output.size),
        "state": "\n".join(members),
        "reset": state.reset,
        "cell": "\n".join(filter(None, (*cells.values(), *top.functions))),
        "step": "\n".join(f"    {line}" for line in step),
        **top.text,
        "scores_note": stack_note(stack_bytes),
    }
    sizes = sum(sum(_parts(place).values()) for place in body)
    state_bytes = 4 * (sizes + embedded + room) + top.state_bytes
    step_bytes = 4 * max(source.stack for source in sources)
    score_bytes = 4 * chain.head.outputs + max(step_bytes, stack_bytes)
    return NetworkText(text, weights.flash, state_bytes, score_bytes)


def check_source(stored: StoredModel) -> None:
    """Check that there is C source for a model.

    Raises
    ------
    TruesparseError
        There is not.
    """
    check_layers(stored, "source", "there is no C source for", "export to scipy")
    if stored.chain.tokens and isinstance(stored.chain.head, SquaredError):
        raise TruesparseError(
            f"there is no C source for numbers that are said of tokens, as by {stored.path}; export to onnx"
        )


def are_equal(places: list[Place]) -> bool:
    """Whether all layers are of one kind and all parts of their states of one size."""
    sizes = {size for place in places for size in place.spec.state.values()}
    kinds = {(place.spec.TYPE, tuple(place.spec.state)) for place in places}
    return len(sizes) == len(kinds) == 1


def _state_of_equals(places: list[Place], name: str) -> _State:
    """An array for each part, and in it a row for each layer."""
    upper, first = name.upper(), places[0].spec
    units = f"{upper}_UNITS"
    output, *_ = first.state
    resets = "\n".join(f"            state->{part}[layer][j] = 0.0f;" for part in first.state)
    reset = _RESET_ALL.format(upper=upper, parts=resets)
    return _State(
        [f"    float {part}[{upper}_LAYERS][{units}];" for part in first.state],
        [{part: f"state->{part}[{number}]" for part in first.state} for number in range(len(places))],
        f"state->{output}[{upper}_LAYERS - 1]",
        f"    size_t layer, j;\n{reset}",
        [f"{name}_{first.NAME or first.TYPE}"] * len(places),
        [units] * len(places),
    )


def _state(places: list[Place], name: str) -> _State:
    """An array for each part of each layer."""
    own = [{part: f"state->{identifier(part, place.name)}" for part in _parts(place)} for place in places]
    arrays = [
        (array, size)
        for parts, place in zip(own, places, strict=True)
        for array, size in zip(parts.values(), _parts(place).values(), strict=True)
    ]
    resets = (_RESET.format(array=array, size=size) for array, size in arrays)
    return _State(
        [f"    {_declaration(array, size)}" for array, size in arrays],
        own,
        next(iter(own[-1].values())),
        "\n".join(("    size_t j;", *resets)),
        [identifier(name, place.name) for place in places],
        [str(place.output.size) for place in places],
    )


def _variables(places: list[Place], x: str, name: str) -> _State:
    """A variable for the output of each layer behind the state, the first of which reads `x`."""
    own = [identifier("y", place.name) for place in places]
    return _State(
        [f"float {array}[{place.output.size}];" for array, place in zip(own, places, strict=True)],
        [{"y": array} for array in own],
        own[-1] if own else x,
        "",
        [identifier(name, place.name) for place in places],
        [str(place.output.size) for place in places],
    )


def _parts(place: Place) -> dict[str, int]:
    """Sizes of what a layer keeps: the parts of its state, or its output if it has none."""
    return place.spec.state or {"y": place.output.size}


def _declaration(array: str, size: int) -> str:
    """Of a member of the state that statements call `array`."""
    return f"float {array.removeprefix('state->')}[{size}];"


def _sources(
    places: list[Place], state: _State, products: dict[str, str], name: str, x: str | None = None
) -> list[Source]:
    """What writes each layer, of which the first reads `x`, or the embedding."""
    sources: list[Source] = []
    for place, parts, function in zip(places, state.parts, state.functions, strict=True):
        source = part(type(place.spec), "source")(place, name, function, x, parts, products)
        sources.append(source)
        x = next(iter(parts.values()))
    return sources
