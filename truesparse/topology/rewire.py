"""Carrying out a topology update: what the rules of a method say, matrix by matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np

from truesparse.errors import UsageError
from truesparse.sparse.arena import Arena
from truesparse.sparse.rewiring import Rewired, Rewiring
from truesparse.topology.drop import DropRule, Keep
from truesparse.topology.first_values import FirstValues
from truesparse.topology.grow import GrowRule, join
from truesparse.topology.redistribute import Fractions, Redistribution, as_dropped
from truesparse.topology.update import Changed, Part, Update, parts_of

Adaptation = Callable[[Sequence[Keep], Update], None]


@dataclass(frozen=True)
class Rules:
    """The rules of a method; see `truesparse.topology.Method`, whose attributes these are."""

    drop: DropRule
    grow: GrowRule
    redistribute: Redistribution
    first_values: FirstValues | None
    fractions: Fractions | None
    adapt: Adaptation | None


def rewire(arena: Arena, rules: Rules, update: Update, gates: str) -> dict[str, Changed]:
    """Change the topology of all matrices of an arena once; see `truesparse.topology.Method.update`."""
    parts = {name: parts_of(matrix, gates, update.importance) for name, matrix in arena.changing.items()}
    all_parts = [part for mine in parts.values() for part in mine]
    fractions = _fractions(rules, all_parts, update)
    keeps = {
        name: [_keep(rules, part, replace(update, fraction=next(fractions))) for part in mine]
        for name, mine in parts.items()
    }
    every = [keep for mine in keeps.values() for keep in mine]
    if rules.adapt is not None:
        rules.adapt(every, update)
    grow = iter(rules.redistribute(all_parts, every, update))
    counts = {name: [next(grow) for _ in mine] for name, mine in parts.items()}
    del every, all_parts
    in_place = all(sum(counts[name]) == sum(map(_dropped, keeps[name])) for name in parts)
    changes: dict[str, Rewired] = {}
    changed: dict[str, Changed] = {}
    for name, matrix in arena.changing.items():
        mine, kept, new = parts.pop(name), keeps.pop(name), counts.pop(name)
        if not any(new) and not any(map(_dropped, kept)):
            continue
        grown = [rules.grow(*choice, update) for choice in zip(mine, kept, new, strict=True)]
        changes[name] = join(matrix, grown)
        grew = changes[name].grown
        lost = matrix.connections + grew - changes[name].pattern.nnz
        changed[name] = Changed(lost * matrix.group, grew * matrix.group)
        if in_place:
            _apply(rules, arena, changes, update)
    _apply(rules, arena, changes, update)
    return changed


def _fractions(rules: Rules, parts: Sequence[Part], update: Update) -> Iterator[float]:
    """What fraction each part drops."""
    return repeat(update.fraction) if rules.fractions is None else iter(rules.fractions(parts, update))


def _keep(rules: Rules, part: Part, update: Update) -> Keep:
    """Which entries stay: all of a part that could only grow again what it dropped."""
    if rules.redistribute is as_dropped and part.nnz == part.positions:
        return np.ones(part.nnz, dtype=bool)
    keep = rules.drop(part, update)
    if not isinstance(keep, np.ndarray) or keep.shape != (part.nnz,) or keep.dtype != np.bool_:
        raise UsageError(
            f"the drop rule must return an array of {part.nnz:,} booleans for {part.name}, one for each entry"
        )
    return keep


def _apply(rules: Rules, arena: Arena, changes: dict[str, Rewired], update: Update) -> None:
    """Carry out changes, and forget them."""
    if not changes:
        return
    arena.apply(Rewiring(changes))
    if rules.first_values is not None:
        for name, change in changes.items():
            rules.first_values(arena.matrices[name], change.source < 0, update.rng)
        arena.touch()
    changes.clear()


def _dropped(keep: Keep) -> int:
    return keep.size - int(np.count_nonzero(keep))
