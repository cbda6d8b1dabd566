"""The parts of the C source of a model that reads in both directions: it takes a sequence whole."""

from __future__ import annotations

from collections.abc import Iterator

from truesparse.export.c_head import head
from truesparse.export.c_matrices import write_matrices
from truesparse.export.c_network import NetworkText
from truesparse.export.layers import check_layers
from truesparse.layers.chain import ChainSpec, Place
from truesparse.layers.parts import part
from truesparse.layers.source import Source, identifier
from truesparse.modelfile import StoredModel

_FORWARD, _BACKWARD = "for (t = 0; t < steps; t++) {", "for (t = steps; t-- > 0;) {"
_SWAP = "swap = from; from = to; to = swap;"
_EACH = "for (j = 0; j < {size}; j++) {{"


def whole_network(stored: StoredModel, dtype: str, name: str) -> NetworkText:
    """Write a model's arrays and what is done with them; see `truesparse.export.c_network.network`."""
    chain = stored.chain
    check_layers(stored, "source", "there is no C source for", "export to another form")
    weights = write_matrices(stored, dtype, name)
    body, rest = chain.split()
    width = max(place.output.size for place in chain.places[:-1])
    writer = _Writer(name, weights.products, width)
    run = [line for place in body for line in writer.layer(place)]
    top = "x"
    if chain.pooling:
        run += _pool(chain, name, width)
        top = "to"
    behind: list[str] = []
    declared: list[str] = []
    for place in rest:
        y = identifier("y", place.name)
        declared.append(f"float {y}[{place.output.size}];")
        behind += writer.source(place, top, {"y": y}).statements()
        top = y
    said = head(stored, name, weights.products, "", top, [*declared, *behind])
    scores = said.text["scores"].splitlines()
    if chain.pooling:
        run += ["{", *scores, "}"]
    else:
        run += [f"for (t = 0; t < steps; t++, scores += {name.upper()}_OUTPUTS) {{"]
        run += [f"    const float *x = from + {width} * t;", *scores, "}"]
    members = [*writer.members, f"    float gates[{writer.room}]; /* room for a step */"]
    every = "" if chain.pooling else f"{name.upper()}_OUTPUTS * "
    text = {
        **weights.text,
        **said.text,
        "inputs": str(body[0].given.size),
        "width": str(width),
        "step_floats": str(2 * width),
        "all_scores": f"{every}100" if every else f"{name.upper()}_OUTPUTS",
        "most_scores": f"{every}LONGEST" if every else f"{name.upper()}_OUTPUTS",
        "rows_said": "count - 1" if every else "1",
        "for_each": " for each of them" if every else "",
        "scores_of": "the labels of each token" if every else "the classes",
        "state": "\n".join(members),
        "cell": "\n".join(writer.functions.values()),
        "run": "\n".join(f"    {line}" for line in run),
    }
    behind_bytes = 4 * sum(place.output.size for place in rest)
    state_bytes = 4 * (writer.room + writer.size)
    return NetworkText(text, weights.flash, state_bytes, 4 * chain.head.outputs + behind_bytes)


class _Writer:
    """Writes layers, and what they need.

    Attributes
    ----------
    members : list of str
        Declarations in the caller's structure.
    functions : dict of str to str
        What the layers call, by name.
    room, size : int
        Numbers that a step takes, and that the states take.
    """

    def __init__(self, name: str, products: dict[str, str], width: int) -> None:
        self.members: list[str] = []
        self.functions: dict[str, str] = {}
        self.room = 1
        self.size = 0
        self._name = name
        self._products = products
        self._width = width

    def source(self, place: Place, x: str, parts: dict[str, str]) -> Source:
        """What writes the statements of a layer, whose function is kept."""
        function = identifier(self._name, place.name)
        source: Source = part(type(place.spec), "source")(
            place, self._name, function, x, parts, self._products
        )
        self.room = max(self.room, source.room)
        if source.template:
            names = {"name": self._name, "function": function, "units": str(place.output.size)}
            self.functions[function] = source.read_template().substitute(names)
        return source

    def layer(self, place: Place) -> Iterator[str]:
        """A layer of the whole sequence, from `from` to `to`, which change places then."""
        if not place.directions:
            yield from self._loop(_FORWARD, self.source(place, "x", {"y": "y"}), 0)
        for way, own in zip((_FORWARD, _BACKWARD), place.directions, strict=False):
            parts = {key: f"state->{identifier(key, own.name)}" for key in own.spec.state}
            for array, size in zip(parts.values(), own.spec.state.values(), strict=True):
                self.members.append(f"    float {array.removeprefix('state->')}[{size}];")
                self.size += size
                yield from (_EACH.format(size=size), f"    {array}[j] = 0.0f;", "}")
            first = own.output.size if way is _BACKWARD else 0
            copy = f"{self._name}_copy(y, {next(iter(parts.values()))}, {own.output.size});"
            yield from self._loop(way, self.source(own, "x", parts), first, copy)
        yield _SWAP

    def _loop(self, way: str, source: Source, first: int, *after: str) -> Iterator[str]:
        yield way
        yield f"    const float *x = from + {self._width} * t;"
        yield f"    float *y = to + {self._width} * t + {first};"
        yield from (f"    {line}" for line in (*source.statements(), *after))
        yield "}"


def _pool(chain: ChainSpec, name: str, width: int) -> Iterator[str]:
    """One vector of `from`, in `to`."""
    given = next(place.given for place in chain.places if place.spec.TYPE == "pool")
    forward = given.size - given.backward
    if chain.pooling == "last":
        yield f"{name}_copy(to, from + {width} * (steps - 1), {forward});"
        yield f"{name}_copy(to + {forward}, from + {forward}, {given.backward});"
        return
    yield f"{name}_copy(to, from, {given.size});"
    yield "for (t = 1; t < steps; t++) {"
    yield f"    {_EACH.format(size=given.size)}"
    y = f"from[{width} * t + j]"
    yield (
        f"        to[j] = {y} > to[j] ? {y} : to[j];" if chain.pooling == "max" else f"        to[j] += {y};"
    )
    yield from ("    }", "}")
    if chain.pooling == "mean":
        yield from (_EACH.format(size=given.size), "    to[j] /= (float)steps;", "}")
