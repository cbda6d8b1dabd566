"""A chain of layers from which a model can be made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from truesparse.errors import UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.settings import Settings, fraction, seed_setting, setting
from truesparse.topology.settings import DISTRIBUTIONS, GATES

if TYPE_CHECKING:
    from truesparse.model.model import Model


@dataclass(frozen=True, kw_only=True)
class InitSettings(Settings):
    """Settings of `Chain.init`."""

    density: float = setting(1.0, "Fraction of the weights that exist.", low=0, open_low=True, high=1)
    seed: int = seed_setting()
    distribution: str = setting("uniform", "How weights are shared out.", choices=DISTRIBUTIONS)
    gates: str = setting("fused", "Whether they have one budget.", choices=GATES)
    scale: float | None = setting(None, "Bound of the weights of a dense matrix.", low=0)
    embedding_density: float | None = fraction(None, "That of the embedding.", all=True)
    rank_exponent: float = setting(0.0, "How much more connections frequent tokens have.", low=0, high=2)
    token_scale: float = setting(1.0, "First weights of tokens.", low=0, open_low=True, high=10)


class Chain(ChainSpec):
    """Layers in a row, the last of which is a head, such as `Softmax`; `init` makes a model of them.

    Parameters
    ----------
    *layers : LayerSpec
        The first is an embedding, which reads tokens; or any other, which reads `features`.
    features : int
        Features at each step, for a chain without an embedding; 0 with one.

    Raises
    ------
    UsageError
        The layers do not fit each other.

    Examples
    --------
    >>> from truesparse import LSTM, Chain, Embedding, Softmax
    >>> model = Chain(Embedding(100, 16), LSTM(32), Softmax(100)).init(density=0.25, seed=1)
    >>> model.density, sorted(model.matrices)
    (0.25, ['embedding.weight', 'lstm.0.weight_hh', 'lstm.0.weight_ih', 'output.weight'])
    """

    def init(
        self,
        density: float | None = None,
        seed: int = 1,
        *,
        topology: Model | None = None,
        distribution: str = "uniform",
        gates: str = "fused",
        scale: float | None = None,
        embedding_density: float | None = None,
        rank_exponent: float = 0.0,
        token_scale: float = 1.0,
    ) -> Model:
        """Return a model with random weights, and random connections or those of another model.

        Parameters
        ----------
        density : float, optional
            Fraction of the positions of all matrices together that hold a weight, in (0, 1]; 1 for a dense
            model, and for methods that begin with one. Not with `topology`.
        seed : int
            Decides everything random: the same seed gives the same model.
        topology : Model, optional
            Model whose connections to take, with the same matrices. It decides how many weights there are.
        distribution : {"uniform", "erdos-renyi"}
            How the weights are shared among the matrices; see `truesparse.topology.initial`.
        gates : {"fused", "separate"}
            Whether the gates of a matrix have one budget or one each.
        scale : float, optional
            Weights are uniform in plus or minus this, divided by the root of their matrix's density; 1 /
            sqrt(units of the last recurrent layer) if left out.
        embedding_density : float, optional
            Density of the embedding, in (0, 1]; as that of the others if left out. The other matrices share
            what it leaves of the weights that `density` makes. Not with `topology`.
        rank_exponent : float
            Tokens that are numbered by frequency, the most frequent first, get connections of embedding and
            output layer in proportion to (number + 40)^-rank_exponent; 0 for all alike. Not with `topology`.
        token_scale : float
            The first weights of embedding and of an output layer that predicts tokens are those of other
            matrices times this.

        Raises
        ------
        UsageError
            The density is missing, out of range or would leave a matrix without a weight, a choice is
            unknown, or `topology` has other matrices.
        """
        import numpy as np

        from truesparse.model.initial import TokenRows, draw_values, model_like, random_model

        if (density is None) == (topology is None):
            raise UsageError("init needs either the density of the model or a topology; give one of the two")
        if topology is not None and embedding_density is not None:
            raise UsageError("an embedding density does not go with a topology, which has one; leave it out")
        if topology is not None and rank_exponent:
            raise UsageError(
                "a rank exponent does not go with a topology, which says who has how many; leave it out"
            )
        own = {} if density is None else {"density": density}
        told = InitSettings(
            **own,
            seed=seed,
            distribution=distribution,
            gates=gates,
            scale=scale,
            embedding_density=embedding_density,
            rank_exponent=rank_exponent,
            token_scale=token_scale,
        )
        rng = np.random.default_rng(told.seed)
        if topology is not None:
            from truesparse.model.checks import check_model

            check_model(topology)
            model = model_like(self, topology, "the topology")
            draw_values(model, rng, told.scale, told.token_scale)
            return model
        tokens = TokenRows(told.embedding_density, told.rank_exponent, told.token_scale)
        return random_model(self, told.density, rng, told.distribution, told.gates, told.scale, tokens)
