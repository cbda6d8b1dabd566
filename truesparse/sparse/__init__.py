"""Where numbers are stored: patterns, sparse matrices, the arena, and changes of topology.

`truesparse.sparse.panels` and `truesparse.sparse.products` are imported by their names: they need Numba.
"""

from truesparse.sparse.arena import Arena
from truesparse.sparse.matrix import SparseMatrix
from truesparse.sparse.pattern import Pattern, narrow_index_dtype
from truesparse.sparse.rewiring import Rewired, Rewiring
from truesparse.sparse.transposed import Transposed

__all__ = ["Arena", "Pattern", "Rewired", "Rewiring", "SparseMatrix", "Transposed", "narrow_index_dtype"]
