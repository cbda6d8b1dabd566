"""How products are cut, by what they have in common, and the file in which that is kept for later runs."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from truesparse.kernels.processor import cache_bytes, processor_name

_PACKAGE = Path(__file__).parents[1]
# What decides which cut is fastest. With other sources of these it is measured anew.
_SOURCES = (
    *("kernels/spmm.py", "kernels/sddmm.py", "kernels/rows.py"),
    *("sparse/plan.py", "sparse/cuts.py", "sparse/products.py"),
)
_LARGEST_SIZE = 64  # a power of two
_LARGEST = 1 << 20
_PANELS = ("1", "2 to 7", "8 and more")  # with still more the connections of a tile go by as seldom


class Kind(NamedTuple):
    """What products have in common that take the same cut. Sizes are rounded to powers of two, densities to
    powers of its root, and of panels there are one, some or many."""

    product: str
    group: int
    lanes: int
    rows: int
    columns: int
    sparsity: int
    threads: int
    panels: int

    def __str__(self) -> str:
        return " ".join(map(str, self))

    @classmethod
    def of(
        cls,
        product: str,
        group: int,
        lanes: int,
        shape: tuple[int, int],
        density: float,
        threads: int,
        panels: int,
    ) -> Kind:
        """Return what a product counts as."""
        sparsity = round(-2 * math.log2(density)) if density else 99
        rows, columns = (size.bit_length() for size in shape)
        several = min(panels.bit_length() // 2, len(_PANELS) - 1)
        return cls(product, group, lanes, rows, columns, sparsity, threads, several)

    @classmethod
    def read(cls, text: str) -> Kind:
        """Return the kind with this `str`.

        Raises
        ------
        ValueError, TypeError
            There is none.
        """
        product, *numbers = text.split(" ")
        kind = cls(product, *map(int, numbers))
        usual = all(0 <= number <= _LARGEST for number in kind[1:]) and kind.panels < len(_PANELS)
        if not usual or max(kind.size) > 1 << _LARGEST_SIZE:
            raise ValueError(f"{text} is no kind of products")
        return kind

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the smallest matrix."""
        return 1 << max(self.rows - 1, 0), 1 << max(self.columns - 1, 0)

    @property
    def how_many_panels(self) -> str:
        """In words."""
        return _PANELS[self.panels]

    @property
    def density(self) -> float:
        """Of a matrix, about."""
        return float(2 ** (-self.sparsity / 2))


class Cut(NamedTuple):
    """How a product is cut.

    Attributes
    ----------
    tile : int
        Bytes of the rows of a panel that are read at a time.
    bundled : bool
        Whether all panels take a tile before the next one does, or each panel all tiles.
    """

    tile: int
    bundled: bool = False

    @property
    def order(self) -> str:
        """How panels take a tile, in words."""
        return "together" if self.bundled else "one by one"


def read_cuts(file: Path | None) -> dict[Kind, Cut]:
    """Return what is kept in a file; nothing if it cannot be read, since it can be measured again."""
    if file is None:
        return {}
    try:
        kept = json.loads(file.read_text("utf-8"))
        cuts = {Kind.read(kind): Cut(int(tile), bool(bundled)) for kind, (tile, bundled) in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}
    return {kind: cut for kind, cut in cuts.items() if cut.tile > 0}


def add_cuts(file: Path, cuts: Mapping[Kind, Cut]) -> dict[Kind, Cut]:
    """Add to what a file has, which other processes and threads may be doing too.

    Returns
    -------
    dict
        What the file has then; empty, without a word, where nothing can be written.
    """
    from truesparse.files import locked, replacing

    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with locked(file.parent, wait=True):
            kept = {**read_cuts(file), **cuts}
            with replacing(file) as part:
                part.write_text(json.dumps({str(kind): cut for kind, cut in kept.items()}, indent=1), "utf-8")
        return kept
    return {}


def file_name() -> str:
    """Return the name of the file of this machine, another one for another processor, other instructions that
    Numba compiles for, another version, or other sources of the products."""
    import llvmlite
    import numba
    from numba.core.registry import cpu_target

    from truesparse.version import __version__

    processor = processor_name(), *map(str, cache_bytes().values())
    target = map(str, cpu_target.target_context.codegen().magic_tuple())
    versions = __version__, numba.__version__, llvmlite.__version__
    key = *processor, *target, *versions, _digest()
    return f"plan-{zlib.crc32(' '.join(key).encode()):08x}.json"


def _digest() -> str:
    """What distinguishes the sources; an installation may have none, and then its version does."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        with suppress(OSError):
            digest.update((_PACKAGE / name).read_bytes())
    return digest.hexdigest()
