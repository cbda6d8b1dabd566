"""What writes one step of a layer as C99: statements that call the function of its folder's ``step.c``."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template

from truesparse.layers.chain import Place

ROOM = "state->gates"  # where a layer computes; the layer behind it uses it again


class Source(ABC):
    """The statements of one layer.

    Parameters
    ----------
    place : Place
    prefix : str
        What names in the source begin with.
    function : str
        What is called `$function` in the layer's ``step.c``, where `$units` is the number of its units.
    x : str or None
        Where its input stands; None if that is the embedding of `token`.
    parts : mapping of str to str
        Where each part of its state stands; `y`, where its output does, if it has no state.
    products : mapping of str to str
        For each matrix by its name in the chain, the call that adds its product with `x` to `y`: a format
        string. Those that multiply the embedding of a token write to `y`, and take a bias for `x`; see
        `sum`.
    """

    def __init__(
        self,
        place: Place,
        prefix: str,
        function: str,
        x: str | None,
        parts: Mapping[str, str],
        products: Mapping[str, str],
    ) -> None:
        self.place = place
        self.prefix = prefix
        self.function = function
        self.x = x
        self.parts = parts
        self._products = products

    @property
    def room(self) -> int:
        """How many numbers it needs room for."""
        return max(vector.size for vector in self.place.vectors)

    @property
    def stack(self) -> int:
        """How many numbers its statements hold on the stack."""
        return 0

    @property
    def template(self) -> str:
        """File with its function, beside that of this class; empty if it needs none."""
        return "step.c"

    def definition(self, units: str) -> str:
        """Its function, the number of units being `units`; empty if it needs none."""
        if not self.template:
            return ""
        path = Path(inspect.getfile(type(self))).with_name(self.template)
        template = Template(path.read_text(encoding="utf-8"))
        return template.substitute(name=self.prefix, function=self.function, units=units)

    @abstractmethod
    def statements(self) -> Iterator[str]:
        """Statements that carry the state on."""

    def sum(self, bias: str, factors: Mapping[str, str | None], to: str = ROOM) -> Iterator[str]:
        """Statements that write ``bias + W x + ...`` to some place.

        Parameters
        ----------
        bias : str
            A vector of the layer.
        factors : mapping of str to str or None
            What each matrix of the layer is multiplied by; `self.x` is the layer's input.
        to : str
        """
        name = f"{self.place.name}.{bias}"
        size = next(vector.size for vector in self.place.vectors if vector.name == name)
        start = identifier(self.prefix, name)
        of_token = next((matrix for matrix, x in factors.items() if x is None), None)
        if of_token is not None:  # for an embedding the bias is added at once
            yield self.product(of_token, to, start)
        else:
            yield f"{self.prefix}_copy({to}, {start}, {size});"
        for matrix, x in factors.items():
            if x is not None:
                yield self.product(matrix, to, x)

    def product(self, matrix: str, y: str, x: str) -> str:
        """A statement that adds ``W x`` to `y`, for a matrix of the layer."""
        return self._products[f"{self.place.name}.{matrix}"].format(y=y, x=x)

    def call(self) -> str:
        """A statement that calls the layer's function with all parts of its state and what was computed."""
        return f"{self.function}({', '.join(self.parts.values())}, {ROOM});"


def identifier(prefix: str, name: str) -> str:
    """The name of a parameter as one in C."""
    return f"{prefix}_{name.replace('.', '_')}"
