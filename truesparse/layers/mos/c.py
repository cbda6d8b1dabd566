"""A mixture of softmaxes as C99; its functions are in ``step.c``."""

from __future__ import annotations

from collections.abc import Iterator

from truesparse.layers.chain import EMBEDDING
from truesparse.layers.mos.spec import MixtureOfSoftmaxes
from truesparse.layers.source import Source

_POWERS = 64  # that its sum of powers keeps in `step.c`


class MixtureOfSoftmaxesSource(Source):
    """The latent numbers of all experts are summed up; then the experts are mixed one after another.

    So it needs room for the scores of one expert, not of all. That room is on the stack, since whoever reads
    the scores does not change the state.
    """

    @property
    def stack(self) -> int:
        """The scores of an expert, all latent numbers, what each expert counts, and some powers."""
        spec = self._spec
        return spec.outputs + spec.experts * spec.latent + spec.experts + _POWERS

    def statements(self) -> Iterator[str]:
        """See `Source.statements`."""
        spec = self._spec
        latents = spec.experts * spec.latent
        yield f"float own[{spec.outputs}], latents[{latents}], shares[{spec.experts}];"
        yield "size_t expert;"
        yield from self.sum("bias_latent", {"latent": self.x}, "latents")
        yield f"{self.function}_latents(latents, {latents});"
        yield f"{self.function}_shares(shares, {spec.experts}, {self.x}, {self.place.given.size});"
        yield f"for (expert = 0; expert < {spec.experts}; expert++) {{"
        for line in self.sum("bias", {"weight": f"latents + {spec.latent} * expert"}, "own"):
            yield f"    {line}"
        yield f"    {self.function}({self.parts['y']}, own, shares[expert], expert);"
        yield "}"

    def product(self, matrix: str, y: str, x: str) -> str:
        """See `Source.product`; the output matrix may be the embedding's."""
        if matrix == "weight" and self._spec.tied:
            return self._products[EMBEDDING].format(y=y, x=x)
        return super().product(matrix, y, x)

    @property
    def _spec(self) -> MixtureOfSoftmaxes:
        assert isinstance(self.place.spec, MixtureOfSoftmaxes)
        return self.place.spec
