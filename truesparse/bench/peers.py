"""The products of a sparse layer in truesparse and in other libraries; see `truesparse.bench.products`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from truesparse.bench.products import PRODUCTS, Array, Call, Case, Library, Operands, Ours

_GATHERED = 1 << 18  # numbers gathered at a time for the gradient: two arrays of 1 MB


class SciPy(Library):
    """SciPy's CSR; it has no product at given positions, so NumPy gathers rows, a piece at a time."""

    def __init__(self, operands: Operands) -> None:
        super().__init__(operands)
        weight, x, dy = operands.csr, operands.x, operands.dy
        columns = weight.T.tocsr()
        piece = max(1, _GATHERED // operands.case.lanes)
        gradient = np.zeros(weight.nnz, np.float32)

        def at_positions() -> Array:
            for start in range(0, weight.nnz, piece):
                places = slice(start, start + piece)
                rows, cols = operands.row_of[places], weight.indices[places]
                np.einsum("kn,kn->k", dy[rows], x[cols], out=gradient[places])
            return gradient

        self.calls = {
            "forward": lambda: weight @ x,
            "transposed": lambda: columns @ dy,
            "gradient": at_positions,
        }


class NumpyDense(Library):
    """BLAS on the dense matrix."""

    def __init__(self, operands: Operands) -> None:
        super().__init__(operands)
        weight, x, dy = operands.csr.toarray(), operands.x, operands.dy
        y, dx, dw = np.zeros_like(dy), np.zeros_like(x), np.zeros_like(weight)
        self.calls = {
            "forward": lambda: np.matmul(weight, x, out=y),
            "transposed": lambda: np.matmul(weight.T, dy, out=dx),
            "gradient": lambda: np.matmul(dy, x.T, out=dw),
        }


class TorchDense(Library):
    """PyTorch on the dense matrix."""

    def __init__(self, operands: Operands) -> None:
        import torch

        super().__init__(operands)
        weight = torch.from_numpy(operands.csr.toarray())
        x, dy = torch.from_numpy(operands.x), torch.from_numpy(operands.dy)
        y, dx, dw = torch.empty_like(dy), torch.empty_like(x), torch.empty_like(weight)
        self.calls = {
            "forward": lambda: torch.mm(weight, x, out=y),
            "transposed": lambda: torch.mm(weight.t(), dy, out=dx),
            "gradient": lambda: torch.mm(dy, x.t(), out=dw),
        }


class TorchCSR(Library):
    """PyTorch's CSR tensors."""

    def __init__(self, operands: Operands) -> None:
        import torch

        super().__init__(operands)

        def tensor(matrix: csr_array) -> Any:
            index = torch.from_numpy(matrix.indptr).long(), torch.from_numpy(matrix.indices).long()
            return torch.sparse_csr_tensor(*index, torch.from_numpy(matrix.data), matrix.shape)

        weight, columns = tensor(operands.csr), tensor(operands.csr.T.tocsr())
        x, dy = torch.from_numpy(operands.x), torch.from_numpy(operands.dy)
        self.calls = {
            "forward": lambda: weight @ x,
            "transposed": lambda: columns @ dy,
            "gradient": lambda: torch.sparse.sampled_addmm(weight, dy, x.t(), beta=0),
        }

    def array(self, product: str, result: Any) -> Array:
        """Return the values of a gradient, which is a CSR tensor."""
        return np.asarray(result.values() if product == "gradient" else result)


class SparseLab(Library):
    """SparseLab's kernels for padded CSR, as its autograd function calls them; without padding."""

    def __init__(self, operands: Operands) -> None:
        import torch
        from sparselab import PaddedCSR, _core

        super().__init__(operands)

        def padded(matrix: csr_array) -> Any:
            index = torch.from_numpy(matrix.indptr).long(), torch.from_numpy(matrix.indices).long()
            tensor = torch.sparse_csr_tensor(*index, torch.from_numpy(matrix.data), matrix.shape)
            return PaddedCSR.from_torch_sparse_csr(tensor, padding_ratio=0.0)

        weight, columns = padded(operands.csr), padded(operands.csr.T.tocsr())
        x, dy = operands.x, operands.dy
        self.calls = {
            "forward": lambda: _core.spmm_simd(weight, x),
            "transposed": lambda: _core.spmm_simd(columns, dy),
            "gradient": lambda: _core.spmm_grad_w_simd(weight, dy, x),
        }


class SparseProp(Library):
    """SparseProp's kernels, called directly: its module would add two transpositions. Its backward pass is
    one kernel."""

    def __init__(self, operands: Operands) -> None:
        from sparseprop import backend

        super().__init__(operands)
        matrix, x, dy = operands.csr, operands.x, operands.dy
        index = matrix.indptr.astype(np.int32), matrix.indices
        data, y, dx, dw = matrix.data, np.zeros_like(dy), np.zeros_like(x), np.zeros_like(matrix.data)

        def forward() -> Array:
            y.fill(0)  # the kernel adds
            backend.sparse_linear_vectorized_forward(x, *index, data, y)
            return y

        def layer() -> None:
            forward()
            dx.fill(0)
            backend.sparse_linear_vectorized_backward(x, *index, data, dy, dx, dw)

        self.calls = {"forward": forward, "layer": layer}


LIBRARIES: dict[str, Callable[[Operands], Library]] = {
    "ours": Ours,
    "scipy": SciPy,
    "numpy-dense": NumpyDense,
    "torch-dense": TorchDense,
    "torch-csr": TorchCSR,
    "sparselab": SparseLab,
    "sparseprop": SparseProp,
}


def make_products(side: str, case: Case) -> tuple[dict[str, Call], dict[str, int]]:
    """Return the products of a side, each checked, and "layer" where it has all three; and of truesparse how
    many rows of the dense operand a product reads at a time (see `Ours.tiles`).

    Parameters
    ----------
    side : {"ours", "scipy", "torch-csr", "torch-dense", "numpy-dense", "sparselab", "sparseprop"}
    case : Case

    Raises
    ------
    TruesparseError
        If a product is wrong.
    """
    operands = Operands(case)
    library = LIBRARIES[side](operands)
    calls = dict(library.calls)
    for product in PRODUCTS[:3]:
        if product in calls:
            operands.check(product, library.array(product, calls[product]()))
    if all(product in calls for product in PRODUCTS[:3]):
        calls.setdefault("layer", lambda: [calls[product]() for product in PRODUCTS[:3]])
    return calls, library.tiles()
