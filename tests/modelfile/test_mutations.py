"""Files that were damaged, or made to do harm: refused with a sentence, or the same model.

TRUESPARSE_MUTATIONS says how many; a thorough test has 10000.
"""

from __future__ import annotations

import json
import os
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from document_helpers import cell_of, with_settings

from truesparse.data import TextEncoder, TokenEncoder, Vocabulary
from truesparse.errors import TruesparseError
from truesparse.layers.models import language_model, sequence_model
from truesparse.model import random_model
from truesparse.model.loading import load_model
from truesparse.model.saving import save_model
from truesparse.modelfile import Reader, StoredModel, container, read_model

COUNT = int(os.environ.get("TRUESPARSE_MUTATIONS", "300"))
T = TypeVar("T")
Tensors = dict[str, np.ndarray]
Document = dict[str, Any]


@pytest.fixture(params=["lstm", "rhn", "unit", "classifier", "tagger"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    words = Vocabulary(("<unk>", *(f"w{n}" for n in range(29))), "word", True)
    rng = np.random.default_rng(1)
    if request.param == "classifier":
        spec = sequence_model(30, 6, 8, 2, outputs=3, pooling="max")
        encoder = TextEncoder(words, 7)
        model = random_model(spec, 0.4, rng)
        save_model(tmp_path / "good", model, words, encoder, ("a", "b", "c"))
    elif request.param == "tagger":
        model = random_model(sequence_model(30, 6, 8, 2, outputs=3, pooling=""), 0.4, rng)
        save_model(tmp_path / "good", model, words, TokenEncoder(words), ("B-X", "I-X", "O"))
    else:
        kind = {
            "lstm": {},
            "rhn": {"cell": "rhn", "depth": 2},
            "unit": {"pattern": "unit", "output_group": 5},
        }[request.param]
        sizes = language_model(30, 6, 8, 2, **kind)
        save_model(tmp_path / "good", random_model(sizes, 0.4, rng), words)
    return tmp_path / "good"


def read(path: Path) -> StoredModel:
    with Reader(path) as reader:
        return read_model(reader)


def load(loader: Callable[[Path], T], path: Path) -> T | None:
    """What a loader makes of a file; None if it refuses it with a sentence. Any other error is a mistake."""
    try:
        return loader(path)
    except TruesparseError as error:
        if "\n" in str(error):
            raise
        return None


def same(a: StoredModel, b: StoredModel) -> bool:
    return (
        (a.chain, a.vocabulary, a.encoder, a.labels) == (b.chain, b.vocabulary, b.encoder, b.labels)
        and a.matrices.keys() == b.matrices.keys()
        and a.vectors.keys() == b.vectors.keys()
        and all(np.array_equal(a.vectors[name], b.vectors[name]) for name in a.vectors)
        and all(
            all(np.array_equal(x, y) for x, y in zip(a.matrices[name], b.matrices[name], strict=True))
            for name in a.matrices
        )
    )


def flip_bit(good: bytearray, rng: np.random.Generator) -> None:
    good[rng.integers(len(good))] ^= 1 << int(rng.integers(8))


def overwrite(good: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(good)))
    length = min(int(rng.integers(1, 64)), len(good) - start)
    good[start : start + length] = rng.bytes(length)


def cut(good: bytearray, rng: np.random.Generator) -> None:
    del good[int(rng.integers(len(good))) :]


def remove(good: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(good)))
    del good[start : start + int(rng.integers(1, 64))]


def insert(good: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(good)))
    good[start:start] = rng.bytes(int(rng.integers(1, 64)))


def move(good: bytearray, rng: np.random.Generator) -> None:
    a, b = (int(place) for place in rng.integers(len(good) - 32, size=2))
    good[a : a + 32] = good[b : b + 32]


def change_digit(good: bytearray, rng: np.random.Generator) -> None:
    """A number in the header: an offset, a shape, a size."""
    (length,) = struct.unpack("<Q", good[:8])
    digits = [place for place in range(8, 8 + length) if chr(good[place]).isdigit()]
    good[digits[rng.integers(len(digits))]] = ord("0") + int(rng.integers(10))


def lie_about_header(good: bytearray, rng: np.random.Generator) -> None:
    good[:8] = struct.pack("<Q", int(rng.integers(1 << int(rng.integers(1, 63)))))


MUTATIONS: list[Callable[[bytearray, np.random.Generator], None]] = [
    flip_bit,
    overwrite,
    cut,
    remove,
    insert,
    move,
    change_digit,
    lie_about_header,
]


def test_damaged_files(file: Path) -> None:
    good = file.read_bytes()
    expected = read(file)
    rng = np.random.default_rng(1)
    path = file.with_name("bad")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for number in range(COUNT // 2):
        bad = bytearray(good)
        for _ in range(int(rng.integers(1, 4))):
            MUTATIONS[number % len(MUTATIONS)](bad, rng)
            if len(bad) < 64:
                break
        path.write_bytes(bad)
        found = load(read, path)
        refused += found is None
        assert found is None or same(found, expected)
        load(load_model, path)
    assert refused > 0.8 * (COUNT // 2)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 16 << 10  # kilobytes


def hostile_numbers(rng: np.random.Generator) -> Any:
    numbers = [0, 1, -1, 2, 7, 30, 2**16, 2**31 - 1, 2**31, 2**32, 2**63, 10**300, 0.5, True, None, "8", []]
    return numbers[rng.integers(len(numbers))]


def lie_in_document(tensors: Tensors, document: Document, rng: np.random.Generator) -> None:
    target = (document, document["model"], document["model"], document.get("text", document))[rng.integers(4)]
    keys = list(target)
    target[keys[rng.integers(len(keys))]] = hostile_numbers(rng)


def lie_in_vocabulary(tensors: Tensors, document: Document, rng: np.random.Generator) -> None:
    vocabulary = document["vocabulary"]
    if "labels" in document and rng.random() < 0.5:
        labels = document["labels"]
        labels[rng.integers(len(labels))] = ("b", 3, None, ["a"])[rng.integers(4)]
        return
    choice = rng.integers(4)
    if choice == 0:
        vocabulary["tokens"] = vocabulary["tokens"][: int(rng.integers(30))]
    elif choice == 1:
        vocabulary["tokens"][0] = hostile_numbers(rng)
    elif choice == 2:
        vocabulary["level"] = hostile_numbers(rng)
    else:
        vocabulary["tokens"][0] = vocabulary["tokens"][1]


def lie_in_tensor(tensors: Tensors, document: Document, rng: np.random.Generator) -> None:
    names = sorted(tensors)
    name = names[rng.integers(len(names))]
    tensor = tensors[name].copy()
    choice = rng.integers(6)
    if choice == 0:
        del tensors[name]
    elif choice == 1:
        tensors[name] = tensor.astype(rng.choice(["float64", "float16", "int8", "uint64", "int32", "bool"]))
    elif choice == 2:
        tensors[name] = tensor[: int(rng.integers(tensor.size))]
    elif choice == 3:
        tensors[name] = tensor.reshape(1, -1)
    elif tensor.dtype.kind == "f":
        tensors[name] = np.zeros(0, np.float32)
    else:
        info = np.iinfo(tensor.dtype)
        tensor[rng.integers(tensor.size)] = rng.choice([info.min, info.max, 0, 1, 8])
        tensors[name] = tensor


def test_files_that_lie_with_a_right_checksum(file: Path) -> None:
    """Whatever loads must be a model that can be used."""
    with Reader(file) as reader:
        good = {name: reader.get(name) for name in reader.names}
        text = json.dumps(reader.document)
    rng = np.random.default_rng(2)
    path = file.with_name("bad")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lies = (lie_in_document, lie_in_vocabulary, lie_in_tensor)
    for number in range(COUNT // 2):
        tensors, document = dict(good), json.loads(text)
        lies[number % len(lies)](tensors, document, rng)
        container.write(path, tensors, document)
        load(read, path)
        load(load_model, path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 16 << 10


def test_embeddings_of_a_size_that_no_tensor_has(file: Path) -> None:
    with Reader(file) as reader:
        tensors, document = {name: reader.get(name) for name in reader.names}, reader.document
    cell = cell_of(document["model"])
    for name in ("embedding.weight.indices", f"{cell}.0.weight_ih.indices"):
        tensors[name] = tensors[name].astype(np.uint32)
    for size in (1 << 17, (1 << 31) - 1):
        document["model"] = with_settings(document["model"], "embedding", size=size)
        container.write(file, tensors, document)
        with pytest.raises(TruesparseError, match="its embeddings or features are longer than the file"):
            read(file)


@pytest.mark.parametrize("file", ["unit"], indirect=True)
def test_groups_of_more_rows_than_a_tensor_has(file: Path) -> None:
    with Reader(file) as reader:
        tensors, document = {name: reader.get(name) for name in reader.names}, reader.document
    words = (1 << 31) - 1
    document["model"] = with_settings(document["model"], "embedding", tokens=words, group=words)
    document["model"] = with_settings(document["model"], "softmax", outputs=words, group=words)
    for name in ("embedding.weight", "output.weight"):
        tensors[f"{name}.indptr"] = np.zeros(2, np.int64)
        for part in ("indices", "data"):
            tensors[f"{name}.{part}"] = tensors[f"{name}.{part}"][:0]
    container.write(file, tensors, document)
    for loader in (read, load_model):
        with pytest.raises(TruesparseError, match=r"output\.bias is float32 of shape"):
            loader(file)


def test_a_document_that_nests_without_end(file: Path) -> None:
    bad = b'{"__metadata__":{"truesparse":"' + b"[" * 200_000 + b'","crc32":"0"}}'
    file.write_bytes(struct.pack("<Q", len(bad)) + bad)
    with pytest.raises(TruesparseError, match="is corrupt"):
        read(file)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F4", "U64", "BOOL", "F64"])
def test_tensors_of_types_that_numpy_may_not_have(file: Path, dtype: str) -> None:
    good = file.read_bytes()
    (length,) = struct.unpack("<Q", good[:8])
    header = json.loads(good[8 : 8 + length])
    name = "output.bias"
    header[name]["dtype"] = dtype
    start, end = header[name]["data_offsets"]
    bits = {"BF16": 16, "F8_E4M3": 8, "F4": 4, "U64": 64, "BOOL": 8, "F64": 64}[dtype]
    header[name]["shape"] = [(end - start) * 8 // bits]
    bad = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(bad)) + bad + good[8 + length :])
    with pytest.raises(TruesparseError, match="corrupt"):
        read(file)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TruesparseError, match="pipe is not a file"):
        read(tmp_path / "pipe")
