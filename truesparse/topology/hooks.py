"""What a method does in the course of training; `truesparse.training.evolution` says when."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from truesparse.sparse.arena import Arena
    from truesparse.topology.update import Changed, Scores, Update

Gradients = Callable[[], Mapping[str, "Scores"]]


class MethodRules(Protocol):
    """What hooks ask of their method."""

    @property
    def shrinks(self) -> bool:
        """Whether updates leave fewer and fewer weights."""

    def update(self, arena: Arena, update: Update, gates: str = "fused") -> dict[str, Changed]:
        """Change the topology of all matrices of an arena once."""


class Units(NamedTuple):
    """The hidden units of a recurrent or linear layer.

    Attributes
    ----------
    size : int
        How many they are.
    rows, columns : tuple of str
        The matrices whose rows they are, in each of the blocks that are stacked, and whose columns.
    """

    size: int
    rows: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Beginning:
    """What a method gets when training begins.

    Attributes
    ----------
    arena : Arena
        Of the model.
    rng : numpy.random.Generator
        A method draws from nothing else.
    settings : mapping
        A value for each of the method's own settings.
    gates : {"fused", "separate"}
        Whether a stacked matrix keeps its number of entries, or each of its row blocks its own.
    importance : {"l1", "l2", "max"}
        What a connection of several weights counts; see `truesparse.topology.update.Part`.
    final_counts : mapping of str to ndarray of int64, shape (blocks,)
        For each matrix the entries of each row block in the end, for a method that shrinks.
    momentum : str
        The state of the arena that has the momentum of each weight; empty if the optimizer keeps none.
    units : sequence of Units
        Of each layer whose units can go; see `truesparse.layers.chain.ChainSpec.hidden_units`.
    """

    arena: Arena
    rng: np.random.Generator
    settings: Mapping[str, Any] = field(default_factory=dict)
    gates: str = "fused"
    importance: str = "l1"
    final_counts: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    momentum: str = ""
    units: Sequence[Units] = ()


class Hooks:
    """A method at work on one model. A method that does more than its rules say has a subclass.

    Parameters
    ----------
    method : MethodRules
    beginning : Beginning

    Attributes
    ----------
    OBSERVES : bool
        Whether each step computes the gradients of all positions, for `observe`.
    REPLACES : bool
        Whether `rewire` takes the place of the optimizer's step, because it goes by that step's gradients.
    arena, rng
        Of the beginning.
    memory : dict of str to float
        What rules remember from update to update; part of a checkpoint.
    targets : dict of str to int
        For each part the entries that it has in the end, for a method that shrinks.
    """

    OBSERVES: ClassVar[bool] = False
    REPLACES: ClassVar[bool] = False

    def __init__(self, method: MethodRules, beginning: Beginning) -> None:
        self._method = method
        self._beginning = beginning
        self.arena = beginning.arena
        self.rng = beginning.rng
        self.memory: dict[str, float] = {}
        self.targets = self._final_entries() if method.shrinks else {}
        self.start()

    def start(self) -> None:
        """Add what the method stores to the model, unless it is there already, as after a checkpoint."""

    def observe(self, gradients: Gradients, scale: float) -> None:
        """Take note of a step's gradients, before the optimizer's step.

        Parameters
        ----------
        gradients : callable
            Gives for each matrix a function that writes rows of its gradient at all positions; see
            `Update.scores`.
        scale : float
            What the optimizer multiplies them by to clip them.
        """

    def scores(self, gradients: Gradients) -> Mapping[str, Scores]:
        """The scores of all positions that the rules of an update get; see `Update.scores`."""
        return {}

    def rewire(self, fraction: float, gradients: Gradients, progress: float) -> dict[str, Changed]:
        """Change the topology once.

        Parameters
        ----------
        fraction : float
            Of the entries to replace, or how far gradual pruning has come.
        gradients : callable
            Those of the step that was just made; see `observe`.
        progress : float
            How far the time of updates has passed, from 0 to 1 at the last one.

        Returns
        -------
        dict of str to Changed
            See `Method.update`.
        """
        from truesparse.topology.update import Update

        told = self._beginning
        update = Update(
            fraction,
            self.rng,
            self.scores(gradients),
            self.targets,
            self.memory,
            told.importance,
            told.momentum,
        )
        return self._method.update(self.arena, update, told.gates)

    def penalize(self, rate_of: Callable[[str], float]) -> None:
        """Make a step down the method's penalty, before `after_step`. `rate_of` gives how far a gradient of 1
        that lasts moves the weights of a matrix at each step (`Optimizer.lasting_rate`)."""

    def after_step(self, lr: float) -> None:
        """Do what the method does after each step of the optimizer, whose learning rate is `lr`."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that a checkpoint has to hold besides the arena, by names."""
        return {}

    def restore(self, memory: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `memory` and `arrays` were."""
        self.memory = dict(memory)
        for name, array in self.arrays().items():
            array[...] = arrays[name]

    def _final_entries(self) -> dict[str, int]:
        from truesparse.topology.update import parts_of

        counts, gates = self._beginning.final_counts, self._beginning.gates
        targets = {}
        for name, matrix in self.arena.matrices.items():
            parts = parts_of(matrix, gates)
            mine = counts[name] if len(parts) > 1 else [counts[name].sum()]
            for part, count in zip(parts, mine, strict=True):
                targets[part.name] = max(round(int(count) / part.group), 1)
        return targets


class GradientHooks(Hooks):
    """Weights grow where the gradient of a step is largest, and the update takes the place of that step."""

    REPLACES = True

    def scores(self, gradients: Gradients) -> Mapping[str, Scores]:
        """The gradients."""
        return gradients()
