"""A model as C99: no library but copysignf, no allocation, the state in the caller's hands."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import Subwords
from truesparse.errors import UsageError
from truesparse.export.c_arrays import byte_string, lines, numbers, read_template, string
from truesparse.export.c_forecast import forecast_text
from truesparse.export.c_inputs import input_text, test_inputs, test_text
from truesparse.export.c_network import network
from truesparse.export.c_whole import whole_network, whole_text
from truesparse.export.quantise import dequantise, quantise
from truesparse.layers.chain import Place
from truesparse.layers.spec import Recurrent
from truesparse.modelfile import StoredModel, scores_overflow
from truesparse.runtime.loading import as_model
from truesparse.version import __version__

_TEST_PLACES = 48
_HEADERS = """assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign
stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype
alloca endian features""".split()  # noqa: SIM905
_KEYWORDS = """auto break case char const continue default do double else enum extern float for goto if inline
int long register restrict return short signed sizeof static struct switch typedef union unsigned void
volatile while""".split()  # noqa: SIM905


def check_name(name: str) -> None:
    """Check what the names in the C source are to begin with.

    Raises
    ------
    UsageError
        It is no C identifier, a keyword, ``main``, whose file would stand in the place of the example's, or
        the name of a header of the standard library, in whose place a compiler might find the model's.
    """
    files = ("main", *_HEADERS)  # of which some systems do not tell the cases
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]{0,30}", name) or name in _KEYWORDS or name.lower() in files:
        raise UsageError(
            f"{name!r} cannot be a name in C; use up to 31 letters, digits and underscores, first a letter,"
            f" and no keyword, nor main or a header of C"
        )


def write_c(stored: StoredModel, folder: Path, name: str, dtype: str) -> dict[str, int]:
    """Write header, source, a header with the vocabulary if there is one, and an example with a test.

    Parameters
    ----------
    stored : StoredModel
        Of finite weights.
    folder : Path
    name : str
        Of the files, and what all names in the header begin with.
    dtype : {"float32", "int8"}
        Of the weights; all else is float32.

    Returns
    -------
    dict
        `flash_bytes`: constant arrays; the code takes some 2 kB more. `ram_bytes`: a state, the scores, and
        what computing these needs on the stack; `step_bytes`, of a model that reads in both directions: what
        it takes besides for each token of a text.

    Raises
    ------
    UsageError, TruesparseError
        The name cannot be one in C, or the model has something that cannot be written.
    """
    check_name(name)
    upper = name.upper()
    chain = stored.chain
    parts = (whole_network if chain.whole else network)(stored, dtype, name)
    words = _vocabulary(stored, name)
    values = {
        "name": name,
        "upper": upper,
        "banner": _banner(stored, dtype),
        "outputs": str(chain.head.outputs),
        "layers": str(len(chain.recurrent)),
        "state_bytes": f"{parts.state_bytes:,}",
        **parts.text,
        **words,
        **_test(stored, dtype),
        "each_loop": read_template("each.c").substitute(upper=upper),
    }
    values |= input_text(stored, values)
    of_forecast, more = forecast_text(as_exported(stored, dtype), values)
    values |= of_forecast
    if chain.whole:
        values |= whole_text(stored, values)
    values["math"] = _called(read_template("math.c").substitute(values), "".join(values.values()))
    kind, main = ("whole", "whole_main.c") if chain.whole else ("model", "main.c")
    files = {f"{kind}.h": f"{name}.h", f"{kind}.c": f"{name}.c", main: "main.c"}
    if words:
        files["vocabulary.h"] = f"{name}_vocabulary.h"
    for template, file in files.items():
        (folder / file).write_text(read_template(template).substitute(values), encoding="utf-8", newline="\n")
    report = {"flash_bytes": parts.flash + more, "ram_bytes": parts.state_bytes + parts.score_bytes}
    if chain.whole:
        report["step_bytes"] = 4 * int(parts.text["step_floats"])
    return report


def _called(functions: str, text: str) -> str:
    """Those functions that a text or a later one of them calls: compilers warn of the others."""
    kept: list[str] = []
    for function in reversed(functions.split("\n\n")):
        defined = re.search(r"^static .*?(\w+\()", function, re.MULTILINE)
        if defined and any(defined[1] in part for part in (text, *kept)):
            kept.insert(0, function)
    return "\n\n".join(kept)


def finite_scores(stored: StoredModel, inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
    """What the runtime says of tokens or features, after each step; or where it has to know the whole
    sequence, of each of its steps, or once of all.

    Parameters
    ----------
    stored : StoredModel
        Of finite weights.
    inputs : ndarray of int64, shape (steps,) or (steps, batch); or of float32, with features behind

    Raises
    ------
    TruesparseError
        A score is not finite: the weights are so large that sums overflow.
    """
    model = as_model(stored)
    batch = inputs.shape[1 : None if stored.chain.tokens else -1]
    if stored.chain.whole:
        every = model.scores(inputs if batch else inputs[:, None])
        scores = [said.T if batch else said[:, 0] for said in every]
    else:
        stream = model.stream(*batch)
        scores = []
        for step in inputs:
            stream.advance(step)
            scores.append(stream.logits())
    if not all(np.isfinite(logits).all() for logits in scores):
        raise scores_overflow(stored.path)
    return scores


def as_exported(stored: StoredModel, dtype: str) -> StoredModel:
    """The model with the weights that the exported one has."""
    if dtype == "float32":
        return stored
    return replace(
        stored, matrices={name: dequantise(csr, quantise(csr)) for name, csr in stored.matrices.items()}
    )


def _banner(stored: StoredModel, dtype: str) -> str:
    chain = stored.chain
    outputs = {"classifier": "classes", "tagger": "labels", "regressor": "numbers"}.get(stored.kind)
    kind = f"{stored.kind} of {chain.head.outputs} {outputs}," if outputs else f"{stored.kind} of"
    cells = [*dict.fromkeys(place.directions[0].spec.TYPE.upper() for place in chain.recurrent)]
    equal = groupby(map(_units, chain.recurrent))
    units = " + ".join(f"{len(list(layers))} x {words}" for words, layers in equal)
    if not cells:
        cells = ["feed-forward"]
        sizes = (
            place.output.size for place in chain.places if place.matrices and place.spec is not chain.head
        )
        units = f"{' + '.join(map(str, sizes))} units"
    return (
        f"Generated by truesparse {__version__}; do not edit. {' + '.join(cells)} {kind}"
        f" {chain.tokens or chain.features:,} {'tokens' if chain.tokens else 'features'}, {units},"
        f" {stored.nnz:,} of {chain.dense_parameters:,} weights, {dtype}."
    )


def _units(place: Place) -> str:
    """The size of a recurrent layer, and what else it has several of, in words."""
    cell = place.directions[0].spec
    assert isinstance(cell, Recurrent)
    own = {field.name: getattr(cell, field.name) for field in cell.own_fields()}
    others = (f" of {name} {value}" for name, value in own.items() if type(value) is int and value > 1)
    ways = " in both directions" if len(place.directions) > 1 else ""
    return f"{cell.units} units{''.join(others)}{ways}"


def _test(stored: StoredModel, dtype: str) -> dict[str, str]:
    """Some tokens or features, and the scores that the runtime has after each step."""
    inputs = test_inputs(stored.chain)
    outputs = stored.chain.head.outputs
    places = np.unique(np.linspace(0, outputs - 1, _TEST_PLACES).astype(np.int64))
    scores = [
        "    {\n" + ",\n".join(lines(numbers(logits[places]))) + "\n    }"
        for logits in finite_scores(as_exported(stored, dtype), inputs)
    ]
    return {
        "test_steps": str(len(inputs)),
        "test_rows": str(len(scores)),
        "test_places": str(places.size),
        **test_text(inputs),
        "test_place_list": "\n" + ",\n".join(lines(numbers(places))) + "\n",
        "test_scores": ",\n".join(scores),
    }


def _vocabulary(stored: StoredModel, name: str) -> dict[str, str]:
    """What goes into the header of the vocabulary; nothing if there is none."""
    vocabulary = stored.vocabulary
    if vocabulary is None:
        return {}
    if isinstance(vocabulary, Subwords):
        strings, bytes_of = map(byte_string, vocabulary.token_bytes), map(len, vocabulary.token_bytes)
        lengths = _LENGTHS.format(
            name=name, upper=name.upper(), lengths=",\n".join(lines(list(map(str, bytes_of))))
        )
    else:
        strings, lengths = map(string, vocabulary.tokens), ""
    return {
        "words": ",\n".join(f"    {token}" for token in strings),
        "lengths": lengths,
        "unknown": str(-1 if vocabulary.unknown is None else vocabulary.unknown),
    }


_LENGTHS = """
/* Tokens are bytes, which need not be whole characters of UTF-8, and may be zero: so many each. */
static const unsigned short {name}_lengths[{upper}_TOKENS] = {{
{lengths}
}};
"""
