"""What the record of `bench kernels` says for the tables of its page."""

from __future__ import annotations

from functools import cache
from statistics import median

from record_helpers import Record, Row, records, where

PRODUCTS = {"W x": "forward", "Wᵀ dy": "transposed", "gradient of W": "gradient", "all of a layer": "layer"}
PEERS = ("scipy", "torch-csr", "sparselab", "sparseprop")


@cache
def measured() -> list[Record]:
    (run,) = where(records("speed/kernels.jsonl"), run="kernels")
    return list(run["records"])


def peers(row: Row) -> Row:
    """How many times as long the others take: the median and the least of all sizes."""
    sizes = where(measured(), product=PRODUCTS[row[0]])
    others = [[size["ratio"][peer] for size in sizes if peer in size["ratio"]] for peer in PEERS]
    others.append([min(size["ratio"][peer] for peer in PEERS if peer in size["ratio"]) for size in sizes])
    return ["", *(f"{median(ratios):.1f} ({min(ratios):.1f})" if ratios else "" for ratios in others)]


def cliffs(row: Row) -> Row:
    """How many sizes there are, at how many something simpler is faster, and by how much at most."""
    (run,) = where(records("speed/cliffs.jsonl"), run="cliffs")
    rivals = {"products without tiles": "untiled", "the pattern of weights": "weight pattern"}
    rival = rivals.get(row[0], row[0])
    ratios = [size["rivals"][rival]["ratio"] for size in run["records"] if rival in size["rivals"]]
    counts = [len(ratios), *(sum(ratio > limit for ratio in ratios) for limit in (1.02, 1.1))]
    return ["", *map(str, counts), f"{max(ratios):.2f}", f"{median(ratios):.2f}"]


def roofs(row: Row) -> Row:
    """Speed in GF/s and share of the roof, of a window of 700 columns and 6000 x 1500 positions."""
    found = [
        where(measured(), product=product, density=float(row[0]), lanes=700, rows=6000)[0]
        for product in ("forward", "transposed", "gradient")
    ]
    return ["", found[0]["roof"], *(f"{of['gflops']:.0f}, {of['fraction_of_roof']:.2f}" for of in found)]


def tile(row: Row) -> Row:
    """Share of the multiply-add peak of one tile in L1, by product and lanes."""
    (run,) = records("speed/tile.jsonl")
    of = where(run["records"], nonzeros=int(row[0]))
    return [
        "",
        *(f"{one['fraction']:.2f}" for one in sorted(of, key=lambda one: (one["product"], one["lanes"]))),
    ]
