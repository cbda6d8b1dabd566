from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from export.conftest import read

from truesparse.errors import TruesparseError, UsageError
from truesparse.export import export_model, write
from truesparse.export.c import write_c
from truesparse.export.interchange import write_torch
from truesparse.export.onnx_model import write_onnx
from truesparse.layers.attention.spec import Attention
from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.layer_norm.spec import LayerNorm
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.output.spec import Softmax
from truesparse.layers.positions.spec import Positions
from truesparse.layers.residual.spec import Residual
from truesparse.modelfile import StoredModel

pytestmark = pytest.mark.usefixtures("command")


def test_a_model_that_has_no_source(tmp_path: Path, file: Path) -> None:
    stored = replace(read(file), chain=ChainSpec(Embedding(9, 4), Softmax(9)))
    with pytest.raises(TruesparseError, match="has no recurrent layer"):
        write_c(stored, tmp_path, "model", "float32")
    pytest.importorskip("onnx")
    with pytest.raises(TruesparseError, match="has no recurrent layer"):
        write_onnx(stored, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("target", ["c", "onnx", "torch"])
def test_cells_that_have_no_source(
    tmp_path: Path, file: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if target == "onnx":
        pytest.importorskip("onnx")
    original = write.read_model

    @dataclass(frozen=True)
    class Other(LSTM):
        TYPE: ClassVar[str] = "other"
        NAME: ClassVar[str] = "lstm"

    def with_another_cell(reader: Any) -> StoredModel:
        stored = original(reader)
        others = (Other(layer.units) if isinstance(layer, LSTM) else layer for layer in stored.chain.layers)
        return replace(stored, chain=ChainSpec(*others))

    monkeypatch.setattr(write, "read_model", with_another_cell)
    with pytest.raises(TruesparseError, match="the cell other"):
        export_model(file, target, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@dataclass(frozen=True)
class Louder(Softmax):
    """A head that says it otherwise."""

    TYPE: ClassVar[str] = "louder"


def test_a_head_that_is_derived_from_one_that_forms_know_is_not_taken_for_it(
    tmp_path: Path, file: Path
) -> None:
    stored = replace(read(file), chain=ChainSpec(Embedding(9, 4), LSTM(4), Louder(9)))
    with pytest.raises(TruesparseError, match="there is no C source for the layer louder"):
        write_c(stored, tmp_path, "model", "float32")
    with pytest.raises(TruesparseError, match="PyTorch has no module for the layer louder"):
        write_torch(stored, tmp_path)


def test_layers_that_read_other_steps_say_why_they_are_refused(tmp_path: Path, file: Path) -> None:
    block = Residual(LayerNorm(), Attention(2))
    for layers, why in (
        ((block,), "the layer attention, because each of its steps reads all others"),
        ((Positions(9), block), "the layer positions, because a layer in C .* does not know their numbers"),
    ):
        chain = ChainSpec(Embedding(9, 4), *layers, LSTM(4), Softmax(9))
        stored = replace(read(file), chain=chain)
        with pytest.raises(TruesparseError, match=f"there is no C source for {why}.*; export to scipy$"):
            write_c(stored, tmp_path, "model", "float32")


def test_arguments(tmp_path: Path, file: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="there is no form 'onyx'; did you mean onnx"):
        export_model(file, "onyx", out)
    with pytest.raises(UsageError, match="there is no type 'int9'"):
        export_model(file, "c", out, dtype="int9")
    with pytest.raises(UsageError, match="--dtype and --name are for C, not for scipy"):
        export_model(file, "scipy", out, dtype="int8")
    with pytest.raises(UsageError, match="there is no file or folder"):
        export_model(tmp_path / "none", "c", out)
    assert not out.exists()
