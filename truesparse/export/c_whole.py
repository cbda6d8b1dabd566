"""The parts of the C source of a model that reads in both directions: it takes a sequence whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from truesparse.export.c_arrays import read_template
from truesparse.export.c_head import head, stack_note
from truesparse.export.c_matrices import write_matrices
from truesparse.export.c_network import NetworkText, check_source
from truesparse.layers.chain import ChainSpec, Place
from truesparse.layers.output.spec import SquaredError
from truesparse.layers.parts import part
from truesparse.layers.source import Source, identifier
from truesparse.modelfile import StoredModel

_FORWARD, _BACKWARD = "for (t = 0; t < steps; t++) {", "for (t = steps; t-- > 0;) {"
_SWAP = "swap = from; from = to; to = swap;"
_EACH = "for (j = 0; j < {size}; j++) {{"
_LOOK_UP = """\
    for (t = 0; t < steps; t++) {{
        if (tokens[t] >= {upper}_TOKENS) {{
            return -1;
        }}
    }}
    for (t = 0; t < steps; t++) {{
        {name}_look_up(from + {width} * t, tokens[t]);
    }}"""
_SOFTMAX = """\
/* Turn {upper}_OUTPUTS scores into probabilities, in place. */
void {name}_softmax(float *scores);

"""
_PRINT_LABEL = "    puts({name}_labels[output]);"
_PRINT_NUMBER = '    printf("%lu\\n", (unsigned long)output);'


def whole_network(stored: StoredModel, dtype: str, name: str) -> NetworkText:
    """Write a model's arrays and what is done with them; see `truesparse.export.c_network.network`."""
    chain = stored.chain
    check_source(stored)
    weights = write_matrices(stored, dtype, name)
    body, rest = chain.split()
    width = max(chain.features, *(place.output.size for place in chain.places[:-1]))
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
    numbers = isinstance(chain.head, SquaredError)
    scores, outputs = said.text["scores"].splitlines(), f"{name.upper()}_OUTPUTS"
    if chain.pooling:
        run += ["{", *scores, "}"]
    else:
        run.append(f"for (t = 0; t < steps; t++, {'numbers' if numbers else 'scores'} += {outputs}) {{")
        run += [f"    const float *x = from + {width} * t;", *scores, "}"]
    each = chain.per_step
    stack_bytes = 4 * (sum(place.output.size for place in rest) + writer.stack) + said.stack_bytes
    text = {
        **weights.text,
        **said.text,
        **_input(chain, name, width),
        "width": str(width),
        "step_floats": str(2 * width),
        "all_scores": f"{outputs} * 100" if each else outputs,
        "most_scores": f"{outputs} * LONGEST" if each else outputs,
        "rows_said": "steps" if each else "1",
        "for_each": " for each step" if each else "",
        "whole_words": "numbers" if numbers else "scores of the labels" if each else "scores of the classes",
        "softmax_declaration": "" if numbers else _SOFTMAX.format(name=name, upper=name.upper()),
        "state": "\n".join([*writer.members, f"    float gates[{writer.room}]; /* room for a step */"]),
        "cell": "\n".join((*writer.functions.values(), *said.functions)),
        "run": "\n".join(f"    {line}" for line in run),
        "scores_note": stack_note(stack_bytes),
    }
    state_bytes = 4 * (writer.room + writer.size)
    score_bytes = 4 * chain.head.outputs + stack_bytes
    return NetworkText(text, weights.flash, state_bytes, score_bytes)


def whole_text(stored: StoredModel, values: Mapping[str, str]) -> dict[str, str]:
    """What is put into the templates besides, once the others are known.

    Parameters
    ----------
    stored : StoredModel
    values : mapping of str to str
        All others.
    """
    chain = stored.chain
    numbers = isinstance(chain.head, SquaredError)
    own = {"print_class": _PRINT_LABEL.format(**values) if stored.labels else _PRINT_NUMBER}

    def filled(file: str) -> str:
        return read_template(file).substitute({**values, **own})

    reading = filled("whole_tokens.c" if chain.tokens else "whole_features.c")
    example = (
        reading + filled("whole_numbers.c" if numbers else "whole_classes.c") + "\n" + filled("whole_run.c")
    )
    return {
        "whole_example": values["example"] if values["forecast_tested"] else example,
        "softmax_function": "" if numbers else filled("softmax.c"),
    }


def _input(chain: ChainSpec, name: str, width: int) -> dict[str, str]:
    """How a sequence comes in, and becomes what the first layer reads."""
    if not chain.tokens:
        copy = f"{name}_copy(from + {width} * t, features + {chain.features} * t, {chain.features});"
        return {
            "sequence": "const float *features",
            "sequence_name": "features",
            "test_sequence": "&test_features[0][0]",
            "inputs_word": "steps of features",
            "or_wrong": "",
            "begin": f"    {_FORWARD}\n        {copy}\n    }}",
        }
    return {
        "sequence": "const uint32_t *tokens",
        "sequence_name": "tokens",
        "test_sequence": "test_tokens",
        "inputs_word": "tokens",
        "or_wrong": ", or a token is out of range",
        "begin": _LOOK_UP.format(name=name, upper=name.upper(), width=width),
    }


class _Writer:
    """Writes layers, and what they need.

    Attributes
    ----------
    members : list of str
        Declarations in the caller's structure.
    functions : dict of str to str
        What the layers call, by name.
    room, size, stack : int
        Numbers that a step takes, that the states take, and that a layer holds on the stack.
    """

    def __init__(self, name: str, products: dict[str, str], width: int) -> None:
        self.members: list[str] = []
        self.functions: dict[str, str] = {}
        self.room = 1
        self.size = 0
        self.stack = 0
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
        self.stack = max(self.stack, source.stack)
        if definition := source.definition(str(place.output.size)):
            self.functions[function] = definition
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
