"""Tensors that other programs have saved: dense arrays of float32 by their names."""

from __future__ import annotations

import argparse
import re
import stat
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError, need

if TYPE_CHECKING:
    import torch

Tensors = dict[str, NDArray[np.float32]]

# Under what names people put a state dict beside what else they save.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "network", "net", "weights", "params")
_DEEPEST = 8  # dicts in dicts; one may have itself as a value
# Dense tensors may be so many times as large as the file, since it may have sparse ones; or of so many bytes.
_EXPANSION = 64
_SMALL = 1 << 26
_TYPES = {
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    **{f"I{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    "BOOL": "|b1",
    "BF16": "<u2",
}


def read_state_dict(path: Path) -> Tensors:
    """Read the tensors of a file of safetensors, or of PyTorch without running what may be in it.

    A state dict may be one of the values of a dict, beside an optimizer's and others. Sparse tensors are made
    dense, and what `torch.nn.utils.prune` has masked is 0.

    Raises
    ------
    TruesparseError
        The file cannot be read, holds something else, or says that its tensors are far larger than it is.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise TruesparseError(
                f"{path} is not a file; give what torch.save(module.state_dict(), ...) wrote"
            )
        with path.open("rb") as file:
            head = file.read(9)
        # it begins with eight bytes of a length, and then JSON
        safe = head[8:] == b"{" or path.suffix.lower() == ".safetensors"
        tensors = _of_safetensors(path) if safe else _of_torch(path)
    except OSError as error:
        raise TruesparseError(f"cannot read {path}: {error.strerror or error}") from None
    return _masked(tensors, path)


def _no_state_dict(path: Path) -> TruesparseError:
    return TruesparseError(f"{path} holds no state dict; write it with torch.save(module.state_dict(), ...)")


def _of_safetensors(path: Path) -> Tensors:
    import safetensors

    try:
        found = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError:
        raise _no_state_dict(path) from None
    tensors = {}
    for name, tensor in found:
        if tensor["dtype"] not in _TYPES:
            raise TruesparseError(
                f"{name} in {path} is of the type {tensor['dtype']}, which is not read; save it as float32"
            )
        array = np.frombuffer(tensor["data"], _TYPES[tensor["dtype"]])
        if tensor["dtype"] == "BF16":  # the upper half of a float32
            array = (array.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = array.astype(np.float32, copy=False).reshape(tensor["shape"])
    return tensors


def _of_torch(path: Path) -> Tensors:
    torch = need("torch", "torch")
    # what tools keep beside a state dict, and is no code
    harmless = torch.serialization.safe_globals([argparse.Namespace])
    try:
        # a sparse tensor whose indices lie would write anywhere
        with harmless, torch.sparse.check_sparse_tensor_invariants(True), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sparse tensors, which are said to be in beta state
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # PyTorch raises many kinds
        code = re.search(r"Unsupported global: GLOBAL ([\w.]+)", str(error))
        if code:
            raise TruesparseError(
                f"{path} needs {code[1]} to be read, which is code and is not run; write it with"
                f" torch.save(module.state_dict(), ...)"
            ) from None
        raise _no_state_dict(path) from None
    for _ in range(_DEEPEST):
        inner = [found[name] for name in _WRAPPERS if isinstance(found, Mapping) and name in found]
        found = next((value for value in inner if isinstance(value, Mapping)), found)
    tensors = dict(_flat(found, "", _DEEPEST))
    if not tensors:
        raise _no_state_dict(path)
    size = 4 * sum(tensor.numel() for tensor in tensors.values())
    if size > _SMALL + _EXPANSION * path.stat().st_size:
        raise TruesparseError(
            f"{path} has {path.stat().st_size:,} bytes, but its tensors would take {size:,}; write tensors"
            f" that repeat nothing with torch.save(module.state_dict(), ...)"
        )
    return {name: _dense(tensor, name, path) for name, tensor in tensors.items()}


def _flat(found: Any, prefix: str, deep: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors of a dict and of dicts in it, but those of an optimizer and what cannot be a parameter."""
    import torch

    if not isinstance(found, Mapping) or "param_groups" in found or not deep:
        return
    for name, value in found.items():
        if isinstance(value, torch.Tensor):
            # a count of steps or the state of a random generator is no part of a model
            numbers = value.is_floating_point() or value.is_complex() or value.ndim > 1
            if value.ndim and (numbers or str(name).endswith("_mask")):
                yield f"{prefix}{name}", value
        else:
            yield from _flat(value, f"{prefix}{name}.", deep - 1)


def _dense(tensor: torch.Tensor, name: str, path: Path) -> NDArray[np.float32]:
    import torch

    try:
        if tensor.is_complex():
            raise TypeError
        tensor = tensor.detach()
        tensor = tensor.dequantize() if tensor.is_quantized else tensor.to(torch.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tensor = tensor if tensor.layout == torch.strided else tensor.to_dense()
        # sparse tensors may be of floats without being contiguous
        return np.ascontiguousarray(tensor.numpy()).reshape(tuple(tensor.shape))
    except (RuntimeError, TypeError, NotImplementedError):
        raise TruesparseError(
            f"{name} in {path} is {tensor.dtype} of the layout {tensor.layout}, which cannot become float32"
            f"; save it as a tensor of floats"
        ) from None


def _masked(tensors: Tensors, path: Path) -> Tensors:
    """Put ``X`` in the place of ``X_orig`` and ``X_mask``, which is what pruning in PyTorch leaves."""
    result = {}
    for name, tensor in tensors.items():
        whole = name.removesuffix("_orig")
        mask = tensors.get(f"{whole}_mask")
        if name.endswith("_orig") and mask is not None:
            if mask.shape != tensor.shape:
                raise TruesparseError(
                    f"{whole}_mask in {path} has the shape {mask.shape}, not {tensor.shape}"
                )
            result[whole] = tensor * mask
        elif not (name.endswith("_mask") and f"{name.removesuffix('_mask')}_orig" in tensors):
            result[name] = tensor
    return result
