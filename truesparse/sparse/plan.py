"""How products are cut into tiles on the processor at hand: a plan.

Tiles are derived from the sizes of the caches. The first product of its kind is tried with a few other tiles
too, which takes some fifty products; the fastest is kept on disk beside the compiled kernels, for later runs
on this machine. FFTW's wisdom and OSKI do the like (Frigo and Johnson, 2005; Vuduc, Demmel and Yelick, 2005).
A plan never changes a result: every sum is taken in the same order whatever the tiles.
"""

from __future__ import annotations

import json
import math
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from truesparse.kernels.cache import cache_folder
from truesparse.kernels.processor import cache_bytes, processor_name

_L1_SHARE = 5 / 6  # of a cache that the rows of a tile fill
_L2_SHARE = 1 / 2
# Tried, and the whole panel: shares of a cache, and whether panels are bundled.
_TRIED = {"L1": ((_L1_SHARE, 5 / 4), (True, False)), "L2": ((1 / 8, 1 / 3, _L2_SHARE), (False,))}
_BAND_SHARE = 1 / 6  # of an L2 cache, for a panel's rows that are written while all tiles go by
_BUNDLE_SHARE = 1 / 8  # of an L2 cache, for the connections of a tile that all panels take
_L1_DENSITY = 0.08  # below it the few nonzeros of a row in an L1 tile do not make up for the tile's loop
_BETTER = 0.97  # of the derived tile's time; what is less of a gain may be noise
_ROUNDS = 3


class Kind(NamedTuple):
    """What products have in common that take the same tiles. Sizes are rounded to powers of two, densities to
    powers of its root."""

    product: str
    group: int
    lanes: int
    rows: int
    columns: int
    sparsity: int
    threads: int

    def __str__(self) -> str:
        return " ".join(map(str, self))


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


Trial = Callable[[Cut], Any]


class Plan:
    """How the products are cut.

    Parameters
    ----------
    caches : dict of str to int, optional
        Bytes of "L1" and "L2" of a core; without, those of this machine.
    file : Path, optional
        Where measured tiles are kept; without, nowhere.
    clock : callable, optional
        Gives seconds.

    Attributes
    ----------
    measures : bool
        Whether a product of a new kind is tried with several tiles.
    tiles : bool
        Whether panels are cut at all.
    measured : dict of str to Cut
        By kind.
    seconds : float
        How long a kind of product is tried, about; at least three times with each tile.
    report : callable
        Told of each kind that has been measured: the kind, its cut, and how many times as long the derived
        one takes.
    """

    def __init__(
        self,
        caches: dict[str, int] | None = None,
        file: Path | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.caches = cache_bytes() if caches is None else caches
        self.file = file
        self.measures = self.tiles = True
        self.seconds = 0.0
        self.report: Callable[[Kind, Cut, float], None] = lambda kind, cut, gain: None
        self.measured = _read(file)
        self._clock = clock

    def kind(
        self, product: str, group: int, lanes: int, shape: tuple[int, int], density: float, threads: int
    ) -> Kind:
        """Return what a product counts as."""
        sparsity = round(-2 * math.log2(density)) if density else 99
        rows, columns = (size.bit_length() for size in shape)
        return Kind(product, group, lanes, rows, columns, sparsity, threads)

    def derived(self, kind: Kind) -> Cut:
        """Return the cut that follows from the caches alone."""
        if kind.group == 1 and kind.sparsity <= -2 * math.log2(_L1_DENSITY):
            return Cut(int(self.caches["L1"] * _L1_SHARE), bundled=True)
        return Cut(int(self.caches["L2"] * _L2_SHARE))

    def band(self, cut: Cut, row_bytes: int, tile_bytes: float) -> int:
        """Return how many rows, or groups, take all tiles before the next ones do.

        Parameters
        ----------
        cut : Cut
        row_bytes : int
            Of a row of a panel, or of those of a group.
        tile_bytes : float
            Of the connections that a row has in a tile, in the mean.
        """
        share, each = (_BUNDLE_SHARE, tile_bytes) if cut.bundled else (_BAND_SHARE, row_bytes)
        return max(16, int(self.caches["L2"] * share / max(each, 1)))

    def cut(self, kind: Kind, size: int, trial: Trial | None) -> Cut:
        """Return how to cut a product.

        Parameters
        ----------
        kind : Kind
        size : int
            Bytes of what is cut into tiles: a panel.
        trial : callable or None
            Makes the product with a cut; may be called often.
        """
        if not self.tiles:
            return Cut(2 * size)
        found = self.measured.get(str(kind))
        if found is None:
            if trial is None or not self.measures or size <= self.caches["L1"]:
                return self.derived(kind)
            found = self.measured[str(kind)] = self._fastest(kind, size, trial)
            if self.file is not None:
                _write(self.file, self.measured)
        return found

    def _fastest(self, kind: Kind, size: int, trial: Trial) -> Cut:
        usual = self.derived(kind)
        others = [
            Cut(int(self.caches[level] * share), bundled)
            for level, (shares, orders) in _TRIED.items()
            for share, bundled in product(shares, orders)
        ]
        cuts = list(dict.fromkeys((usual, *others, Cut(2 * size))))
        times: dict[Cut, list[float]] = {cut: [] for cut in cuts}
        trial(usual)  # compiles the kernel
        began = self._clock()
        while len(times[usual]) < _ROUNDS or self._clock() - began < self.seconds:
            for cut in cuts:
                trial(cut)  # makes the tile's index, and puts into the caches what fits
                start = self._clock()
                trial(cut)
                times[cut].append(self._clock() - start)
        # On a busy machine no cut is faster in most rounds than the derived one in its best: then that stays.
        middle = {cut: median(taken) for cut, taken in times.items()}
        fastest = min(cuts, key=lambda cut: middle[cut])
        if middle[fastest] >= _BETTER * min(times[usual]):
            fastest = usual
        self.report(kind, fastest, middle[usual] / max(middle[fastest], 1e-9))
        return fastest


@cache
def machine_plan() -> Plan:
    """Return the plan of this machine, which all products of the process share."""
    folder = cache_folder()
    return Plan(file=None if folder is None else folder / _file_name())


@contextmanager
def tuning(on: bool) -> Iterator[None]:
    """Let products of a new kind be measured, or not."""
    plan = machine_plan()
    before, plan.measures = plan.measures, on
    try:
        yield
    finally:
        plan.measures = before


def _file_name() -> str:
    """The name of the file of measured tiles, another one for another processor or version."""
    import llvmlite
    import numba
    from llvmlite.binding import get_host_cpu_name

    from truesparse.version import __version__

    processor = processor_name(), get_host_cpu_name(), *map(str, cache_bytes().values())
    versions = *processor, __version__, numba.__version__, llvmlite.__version__
    return f"plan-{zlib.crc32(' '.join(versions).encode()):08x}.json"


def _read(file: Path | None) -> dict[str, Cut]:
    """What is kept in a file; nothing if it cannot be read, since it can be measured again."""
    if file is None:
        return {}
    try:
        kept = json.loads(file.read_text("utf-8"))
        cuts = {str(kind): Cut(int(tile), bool(bundled)) for kind, (tile, bundled) in kept.items()}
        return {kind: cut for kind, cut in cuts.items() if cut.tile > 0}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(file: Path, measured: dict[str, Cut]) -> None:
    """Add to what other processes have written meanwhile; without a word where nothing can be written."""
    measured.update({**_read(file), **measured})
    part = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(measured, indent=1), "utf-8")
        part.replace(file)
    except OSError:
        with suppress(OSError):
            part.unlink()
