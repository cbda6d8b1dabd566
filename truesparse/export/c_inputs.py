"""The parts of the C source that depend on what a model reads, tokens or features; and the example."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

import numpy as np
from numpy.typing import NDArray

from truesparse.data import Subwords
from truesparse.export.c_arrays import lines, numbers, read_template
from truesparse.layers.chain import ChainSpec
from truesparse.layers.output.spec import SquaredError
from truesparse.layers.standardize.spec import Standardize
from truesparse.modelfile import StoredModel

_TEST_STEPS = 12


def input_text(stored: StoredModel, values: Mapping[str, str]) -> dict[str, str]:
    """What is put into the templates of header, source and example.

    Parameters
    ----------
    stored : StoredModel
    values : mapping of str to str
        What is put into them anyway; names begin with its `name`.
    """
    chain = stored.chain
    own = _TOKENS | _words(stored) if chain.tokens else _features(stored)
    values = {**values, "size": str(chain.tokens or chain.features), "scores_name": own["scores_name"]}
    text = {key: Template(part).substitute(values) for key, part in own.items()}

    def filled(file: str) -> str:
        return read_template(file).substitute({**values, **text})

    softmax = "" if isinstance(chain.head, SquaredError) else filled("softmax.c")
    if chain.tokens:
        return text | {
            "read_token": Template(values["readers"]).safe_substitute(values),
            "example": filled("main_tokens.c"),
            "last_functions": softmax,
        }
    return text | {
        "read_token": "",
        "example": filled("main_features.c"),
        "last_functions": softmax + filled("read.c"),
    }


def test_inputs(chain: ChainSpec) -> NDArray[np.int64] | NDArray[np.float32]:
    """What the self-test reads: tokens of shape (steps,), or features of shape (steps, D)."""
    rng = np.random.default_rng(1)
    if chain.tokens:
        return rng.integers(0, chain.tokens, _TEST_STEPS)
    features = rng.standard_normal((_TEST_STEPS, chain.features))
    first = chain.layers[0]
    if isinstance(first, Standardize):
        features = features * first.scale + first.mean
    return features.astype(np.float32)


def test_text(inputs: NDArray[np.int64] | NDArray[np.float32]) -> dict[str, str]:
    """The same as C."""
    if inputs.ndim == 1:
        text = f"static const uint32_t test_tokens[TEST_STEPS] = {{{', '.join(numbers(inputs))}}};"
        return {"test_inputs": text}
    rows = ("    {\n" + ",\n".join(lines(numbers(row))) + "\n    }" for row in inputs)
    start = f"static const float test_features[TEST_STEPS][{inputs.shape[1]}] = {{\n"
    return {"test_inputs": start + ",\n".join(rows) + "\n};"}


def _words(stored: StoredModel) -> dict[str, str]:
    """How the example reads tokens and prints what it predicts: by vocabulary and labels, or as numbers."""
    text = {"include": '#include "$name.h"', "token_number": _NUMBER, "print_output": _PRINT_NUMBER}
    if stored.vocabulary is not None:
        text |= {"include": '#include "${name}_vocabulary.h"', "token_number": _WORD}
        if stored.chain.head.outputs == stored.chain.tokens:
            subwords = isinstance(stored.vocabulary, Subwords)
            text["print_output"] = _PRINT_BYTES if subwords else "    puts(${name}_vocabulary[output]);"
    if stored.labels:
        text["print_output"] = "    puts(${name}_labels[output]);"
    return text


def _features(stored: StoredModel) -> dict[str, str]:
    """What a model of features has."""
    head = stored.chain.head
    text = _FEATURES | (_OF_STEPS if stored.chain.per_step else _OF_SEQUENCES)
    if isinstance(head, SquaredError):
        text |= _OF_NUMBERS
        if head.scale:  # what is small beside a number's own unit need not be distinguished
            units = ", ".join(numbers(np.array(head.scale, np.float32)))
            text["test_units"] = f"static const float test_units[] = {{{units}}};\n"
            text["test_unit"] = "fabs((double)test_units[test_places[i]])"
        return text
    text |= _OF_CLASSES
    text["usage"] += _SOFTMAX_USAGE
    text["more_functions"] = _SOFTMAX_COMMENT + text["more_functions"]
    name = "${name}_labels[likeliest]" if stored.labels else "(unsigned long)likeliest"
    text["print_output"] += f'    printf("{"%s" if stored.labels else "%lu"}\\n", {name});'
    return text


_PRINT_BYTES = """\
    fwrite(${name}_vocabulary[output], 1, ${name}_lengths[output], stdout);
    putchar('\\n');"""
_SOFTMAX_COMMENT = """\
/* Turn ${upper}_OUTPUTS scores into probabilities, in place. */
void ${name}_softmax(float *scores);

"""
_TOKENS = {
    "text": "text",
    "scores_name": "scores",
    "scores_words": "scores of $scores_of",
    "usage": """\
 *     ${name}_step(&state, token);         for each token of a text in turn
 *     ${name}_output(&state, scores);      scores of $scores_of
 *     ${name}_softmax(scores);             turns scores into probabilities""",
    "size_include": "",
    "input_size": "#define ${upper}_TOKENS $size /* tokens are numbers below it */",
    "input": "uint32_t token",
    "step_type": "int",
    "step_comment": "/* Read a token. Returns 0, or -1 for a token out of range, which leaves the state as it"
    " was. */",
    "check": "    if (token >= ${upper}_TOKENS) {\n        return -1;\n    }\n",
    "done": "\n    return 0;",
    "more_functions": _SOFTMAX_COMMENT,
    "arguments": "TOKEN...",
    "best": "#define BEST 5\n\n",
    "inputs": "tokens",
    "input_word": "token",
    "time_digits": "1",
    "test_array": "test_tokens",
    "test_unit": "1.0",
    "test_units": "",
    "measured_softmax": "        ${name}_softmax(scores);\n",
}
_FEATURES = {
    "text": "sequence",
    "include": '#include "$name.h"',
    "size_include": "#include <stddef.h>\n",
    "input_size": "#define ${upper}_FEATURES $size /* numbers of a step */",
    "input": "const float *features",
    "step_type": "void",
    "step_comment": "/* Read a step: ${upper}_FEATURES finite numbers. */",
    "check": "",
    "done": "",
    "arguments": "< NUMBERS",
    "best": "",
    "inputs": "features",
    "input_word": "step",
    "time_digits": "3",
    "test_array": "test_features",
    "test_unit": "1.0",
    "test_units": "",
}
_USAGE = """\
 *     ${name}_step(&state, features);      for each step of a sequence in turn: ${upper}_FEATURES numbers
 *     ${name}_output(&state, $scores_name);     """
_READ = """\
/* Read some steps one after another, of ${upper}_FEATURES numbers each, going on from the state, and write
 * what ${name}_output does """
_READ_END = """. */
void ${name}_read(${name}_state *state, const float *features, size_t steps, float *$scores_name);

"""
_OF_STEPS = {
    "usage": f"{_USAGE}the prediction for this step",
    "more_functions": f"{_READ}after each of them, steps * ${{upper}}_OUTPUTS in all{_READ_END}",
    "output_of_step": "\n        ${name}_output(state, $scores_name + step * ${upper}_OUTPUTS);",
    "output_at_end": "",
    "print_each": "\n            print_output();",
    "print_end": "",
}
_OF_SEQUENCES = {
    "usage": f"{_USAGE}the prediction from all steps so far",
    "more_functions": f"{_READ}after the last of them{_READ_END}",
    "output_of_step": "",
    "output_at_end": "\n    ${name}_output(state, $scores_name);",
    "print_each": "",
    "print_end": "\n    print_output();",
}
_OF_NUMBERS = {
    "scores_name": "numbers",
    "scores_words": "numbers",
    "measured_softmax": "",
    "print_output": """\
    size_t i;
    ${name}_output(&state, numbers);
    for (i = 0; i < ${upper}_OUTPUTS; i++) {
        printf(i + 1 < ${upper}_OUTPUTS ? "%.7g " : "%.7g\\n", (double)numbers[i]);
    }""",
}
_OF_CLASSES = {
    "scores_name": "scores",
    "scores_words": "scores of $scores_of",
    "measured_softmax": "        ${name}_softmax(scores);\n",
    "print_output": """\
    size_t i, likeliest = 0;
    ${name}_output(&state, scores);
    ${name}_softmax(scores);
    for (i = 1; i < ${upper}_OUTPUTS; i++) {
        likeliest = scores[i] > scores[likeliest] ? i : likeliest;
    }
    printf("%.4f ", (double)scores[likeliest]);
""",
}
_SOFTMAX_USAGE = "\n *     ${name}_softmax(scores);             turns scores into probabilities"
_PRINT_NUMBER = '    printf("%lu\\n", (unsigned long)output);'
_NUMBER = """\
    char *end;
    const long number = strtol(text, &end, 10);
    return *text != '\\0' && *end == '\\0' && number >= 0 ? number : -1;"""
_WORD = """\
    long token;
    for (token = 0; token < ${upper}_TOKENS; token++) {
        if (strcmp(${name}_vocabulary[token], text) == 0) {
            return token;
        }
    }
    return ${upper}_UNKNOWN;"""
