"""The parts of the C source that depend on what the layers' outputs become: pooling, scores, labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from truesparse.data import SeriesEncoder, TokenEncoder
from truesparse.export.c_arrays import read_template, string
from truesparse.layers.chain import ChainSpec
from truesparse.layers.output.spec import SquaredError
from truesparse.layers.parts import part
from truesparse.layers.source import Source
from truesparse.modelfile import Encoder, StoredModel

_NOTE = " That takes {:,} bytes of the stack."
_IN_UNITS = """
    for (size_t j = 0; j < {upper}_OUTPUTS; j++) {{
        numbers[j] = numbers[j] * {name}_output_scale[j] + {name}_output_mean[j];
    }}"""
_RESET = """
    for (j = 0; j < {upper}_UNITS; j++) {{
        state->pooled[j] = 0.0f;
    }}
    state->steps = 0;"""


class HeadText(NamedTuple):
    """What is put into the templates; functions; members of the state and their bytes; what scores take on
    the stack."""

    text: dict[str, str]
    functions: list[str]
    members: list[str]
    state_bytes: int
    stack_bytes: int


def stack_note(stack_bytes: int) -> str:
    """What the header says of what scores take on the stack besides their own memory."""
    return _NOTE.format(stack_bytes) if stack_bytes else ""


def pools(chain: ChainSpec) -> bool:
    """Whether the state has to hold what is pooled."""
    return chain.pooling not in ("", "last")


def head(
    stored: StoredModel,
    name: str,
    products: Mapping[str, str],
    top: str,
    x: str,
    statements: Sequence[str],
) -> HeadText:
    """Write what follows the layers of each step.

    Parameters
    ----------
    stored : StoredModel
        With a sparse output layer.
    name : str
        What names begin with.
    products : mapping of str to str
        See `truesparse.export.c_matrices.Matrices`.
    top : str
        Where the output of the last layer of each step stands.
    x : str
        Where stands what the head reads.
    statements : sequence of str
        What computes that, before the scores.
    """
    chain = stored.chain
    upper = name.upper()
    scores = "numbers" if isinstance(chain.head, SquaredError) else "scores"
    own, functions, stack_bytes = _own_source(chain, name, products, x, scores)
    text = {
        "scores": "\n".join(f"    {line}" for line in (*statements, *own)),
        "pool_function": "",
        "reset_pool": "",
        "pool": "",
        "reading": _reading(stored.encoder),
        "labels_declaration": "",
        "labels_definition": "",
        "scores_of": "the next token" if chain.per_step and chain.tokens else "the classes",
    }
    if isinstance(chain.head, SquaredError) and chain.head.mean:
        text["scores"] += _IN_UNITS.format(name=name, upper=upper)
    if stored.labels:
        labels = f"const char *const {name}_labels[{upper}_OUTPUTS]"
        texts = ",\n".join(f"    {string(label)}" for label in stored.labels)
        names = "labels" if chain.per_step else "classes"
        text["scores_of"] = (
            f"the labels of the last {'token' if chain.tokens else 'step'}"
            if chain.per_step
            else "the classes"
        )
        text["labels_declaration"] = f"/* Names of the {names}. */\nextern {labels};\n"
        text["labels_definition"] = f"{labels} = {{\n{texts}\n}};\n"
    if not pools(chain):
        return HeadText(text, functions, [], 0, stack_bytes)
    function = read_template(f"{chain.pooling}.c", "layers/pool").substitute(name=name, upper=upper, top=top)
    text |= {
        "pool_function": f"\n{function}",
        "reset_pool": _RESET.format(upper=upper),
        "pool": f"\n    {name}_pool(state);",
    }
    members = [f"    float pooled[{upper}_UNITS];", "    uint32_t steps;"]
    return HeadText(text, functions, members, 4 * chain.pooled_size + 4, stack_bytes)


def _own_source(
    chain: ChainSpec, name: str, products: Mapping[str, str], x: str, scores: str
) -> tuple[list[str], list[str], int]:
    """Statements that write the scores, the functions that they call, and their bytes on the stack.

    Of a head that has a `Source` of its own, that writes them.
    """
    place, outputs = chain.places[-1], f"{name.upper()}_OUTPUTS"
    found = part(type(place.spec), "source")
    if found is None:
        product = products[chain.output_matrix].format(y=scores, x=x)
        return [f"{name}_copy({scores}, {name}_output_bias, {outputs});", product], [], 0
    source: Source = found(place, name, f"{name}_{place.spec.TYPE}", x, {"y": scores}, products)
    return list(source.statements()), [source.definition(outputs)], 4 * source.stack


def _reading(encoder: Encoder) -> str:
    """How a text becomes tokens, which is left to the caller."""
    if encoder is None or isinstance(encoder, SeriesEncoder):
        return ""
    if isinstance(encoder, TokenEncoder):
        case = " in lower case" if encoder.lower_case else ""
        return f"""
 * The model was trained on the tokens of sentences{case}; those that it does not know are <unk>.
 *"""
    end = {"before": "last", "after": "first"}[encoder.truncation]
    padding = {
        "masked": "A shorter text is read as it is.",
        "before": "Before a shorter text so many tokens <pad> are read that there are as many.",
        "after": "After a shorter text so many tokens <pad> are read that there are as many.",
    }[encoder.padding]
    case = ", in lower case" if encoder.lower_case else ""
    marks = "words and runs of one punctuation mark" if encoder.punctuation else "words"
    return f"""
 * The model was trained on the {end} {encoder.length} {marks} of a text{case}; those that it does not know
 * are <unk>. {padding}
 *"""
