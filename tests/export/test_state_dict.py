from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from export.conftest import read

from truesparse.errors import TruesparseError
from truesparse.export.imported import import_model

V, E, H = 11, 5, 6


def language_model(torch: Any) -> Any:
    torch.manual_seed(1)
    module = torch.nn.Module()
    module.encoder, module.rnn = torch.nn.Embedding(V, E), torch.nn.LSTM(E, H, 2)
    module.decoder = torch.nn.Linear(H, V)
    return module


def prune(torch: Any, module: Any) -> dict[str, Any]:
    from torch.nn.utils.prune import l1_unstructured

    for part, name in ((module.rnn, "weight_hh_l0"), (module.decoder, "weight")):
        l1_unstructured(part, name, amount=0.4)
    return dict(module.state_dict())


def changed_each(change: Callable[[Any], Any]) -> Callable[[Any, Any], dict[str, Any]]:
    return lambda torch, module: {name: change(tensor) for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize(
    "contents",
    [
        lambda torch, module: dict(module.named_parameters()),
        lambda torch, module: {
            **module.state_dict(),
            "epoch": 3,
            "optimizer": {"state": {}, "param_groups": []},
        },
        lambda torch, module: {"model": {"state_dict": module.state_dict()}, "loss": torch.tensor(2.0)},
        lambda torch, module: {
            "args": argparse.Namespace(lr=0.1),
            "step": torch.tensor(3),
            "generator": torch.get_rng_state(),
            **module.state_dict(),
        },
        lambda torch, module: {
            "net": module.state_dict(),
            "optimizer": torch.optim.Adam(module.parameters()).state_dict(),
        },
        lambda torch, module: {name: part.state_dict() for name, part in module.named_children()},
        lambda torch, module: torch.nn.DataParallel(module).state_dict(),
        changed_each(lambda tensor: tensor.to_sparse()),
        changed_each(lambda tensor: tensor.to_sparse_csr() if tensor.ndim == 2 else tensor),
        changed_each(lambda tensor: tensor.to_sparse_csc() if tensor.ndim == 2 else tensor),
        changed_each(lambda tensor: tensor.bfloat16()),
        changed_each(lambda tensor: tensor.half()),
        changed_each(lambda tensor: tensor.double()),
        changed_each(lambda tensor: tensor.bfloat16().to_sparse()),
        prune,
    ],
)
def test_whatever_form_the_tensors_have(tmp_path: Path, contents: Callable[[Any, Any], Any]) -> None:
    torch = pytest.importorskip("torch")
    module = language_model(torch)
    torch.save(contents(torch, module), tmp_path / "m.pt")
    import_model(tmp_path / "m.pt", tmp_path / "out", 1.0)
    dense = {name: csr.to_dense() for name, csr in read(tmp_path / "out").matrices.items()}
    tolerance = 4e-3  # of bfloat16, whose fraction has 8 bits
    for name, weight in (
        ("embedding.weight", module.encoder.weight),
        ("lstm.0.weight_hh", module.rnn.weight_hh_l0),
        ("lstm.1.weight_ih", module.rnn.weight_ih_l1),
        ("output.weight", module.decoder.weight),
    ):
        np.testing.assert_allclose(dense[name], weight.detach().numpy(), rtol=tolerance)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "float8_e4m3fn"])
def test_types_of_safetensors(tmp_path: Path, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors.torch")
    tensors = {name: t.to(getattr(torch, dtype)) for name, t in language_model(torch).state_dict().items()}
    path = tmp_path / "named.bin"  # what it is its first bytes say
    safetensors.torch.save_file(tensors, path)
    if dtype.startswith("float8"):
        with pytest.raises(TruesparseError, match=r"is of the type F8_E4M3, which is not read"):
            import_model(path, tmp_path / "out", 1.0)
        return
    import_model(path, tmp_path / "out", 1.0)
    dense = read(tmp_path / "out").matrices["output.weight"].to_dense()
    np.testing.assert_array_equal(dense, tensors["decoder.weight"].float().numpy())


def test_tensors_that_are_far_larger_than_their_file(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    one = torch.ones(1)
    huge = (
        {"encoder.weight": one.expand(50_000, 50_000)},
        {f"{number}": torch.ones(9_999).expand(3_000, 9_999) for number in range(9)},
        {
            "encoder.weight": torch.sparse_coo_tensor(
                torch.zeros((2, 1), dtype=torch.long), one, (1 << 20, 1 << 20)
            )
        },
    )
    for tensors in huge:
        torch.save(tensors, tmp_path / "m.pt")
        with pytest.raises(
            TruesparseError, match=r"m.pt has [\d,]+ bytes, but its tensors would take [\d,]+"
        ):
            import_model(tmp_path / "m.pt", tmp_path / "out", 0.5)


def test_files_that_are_none_of_tensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    endless: dict[str, Any] = {}
    endless |= {"model": endless, "a": endless}
    for contents in (endless, {}, {"model": {}}, [torch.ones(2)], {"a": {"param_groups": torch.ones(2)}}, 3):
        torch.save(contents, tmp_path / "m.pt")
        with pytest.raises(TruesparseError, match=r"m.pt holds no state dict"):
            import_model(tmp_path / "m.pt", tmp_path / "out", 0.5)
    torch.save({"a": torch.ones(2, dtype=torch.complex64)}, tmp_path / "m.pt")
    with pytest.raises(TruesparseError, match=r"a in .*m.pt is torch.complex64 .*cannot become float32"):
        import_model(tmp_path / "m.pt", tmp_path / "out", 0.5)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TruesparseError, match="pipe is not a file"):
        import_model(tmp_path / "pipe", tmp_path / "out", 0.5)
