"""Layer normalisation as C99; its functions are in ``step.c``."""

from __future__ import annotations

from collections.abc import Iterator

from truesparse.layers.layer_norm.spec import LayerNorm
from truesparse.layers.source import Source, identifier


class LayerNormSource(Source):
    """Loops over the features, which write its output. They take `sqrtf` of C's library."""

    @property
    def room(self) -> int:
        """None."""
        return 0

    def statements(self) -> Iterator[str]:
        """See `Source.statements`."""
        spec = self.place.spec
        assert isinstance(spec, LayerNorm)
        scale, bias = (identifier(self.prefix, f"{self.place.name}.{own}") for own in ("scale", "bias"))
        yield f"{self.function}({self.parts['y']}, {self.x}, {scale}, {bias}, {spec.epsilon:.8e}f);"
