"""What the rows of tokens have of their own: those of an embedding, and of a layer that predicts tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from truesparse.errors import UsageError
from truesparse.settings import fraction, setting
from truesparse.topology import get_method

if TYPE_CHECKING:
    from truesparse.model.initial import TokenRows
    from truesparse.training.config import Config


def embedding_density_setting() -> Any:
    """The setting of the density of an embedding."""
    return fraction(
        None,
        "Fraction of the embedding's weights that exist at the start. The other matrices share what it"
        " leaves of --density.",
        all=True,
        shown="as the others",
    )


def embedding_density(config: Config) -> float | None:
    """Return what a configuration says of the density of the embedding; None if nothing."""
    given: float | None = vars(config).get("embedding_density")
    return given


def rank_exponent_setting() -> Any:
    """The setting of how much more connections frequent tokens get."""
    return setting(
        0.0,
        "Give frequent tokens more connections at first: in the embedding, and in the output layer of a"
        " language model, shares of tokens are (rank + 40)^-X. 0 gives all the same.",
        low=0,
        high=2,
    )


def token_scale_setting() -> Any:
    """The setting of the first weights of tokens."""
    return setting(
        1.0,
        "First weights of the embedding, and of the output layer of a language model, as a multiple of those"
        " of other matrices.",
        low=0,
        open_low=True,
        high=10,
    )


def token_rows(config: Config, sparse: bool = True) -> TokenRows:
    """Return what a configuration says of the rows of tokens; the embedding of a model that begins dense has
    no density of its own yet."""
    from truesparse.model.initial import TokenRows

    told = vars(config)
    own = embedding_density(config) if sparse else None
    return TokenRows(own, told.get("rank_exponent", 0.0), told.get("token_scale", 1.0))


def check_token_rows(config: Config) -> None:
    """Raise UsageError if what a configuration says of the rows of tokens does not go with the rest."""
    _check_embedding_density(config)
    _check_rank_exponent(config)


def _check_embedding_density(config: Config) -> None:
    if embedding_density(config) is None:
        return
    method = get_method(config.method)
    if config.start_topology is not None or config.er_epsilon is not None:
        other = "--er-epsilon" if config.start_topology is None else "--start-topology"
        raise UsageError(
            f"--embedding-density does not go with {other}, which says how many weights each matrix has;"
            " leave one of the two out"
        )
    if vars(config).get("tied"):
        raise UsageError(
            "--embedding-density does not go with --tied, by which the embedding is the output layer too;"
            " leave one of the two out"
        )
    if method.spread or method.initial == "small" or method.density is not None:
        raise UsageError(
            f"--embedding-density does not go with --method {method.name}, which decides itself where weights"
            " exist; leave it out, or use another method"
        )


def _check_rank_exponent(config: Config) -> None:
    told = vars(config)
    if not told.get("rank_exponent"):
        return
    refused = ""
    if get_method(config.method).initial != "sparse":
        refused = f"--method {config.method}, which does not begin with random connections"
    elif config.start_topology is not None:
        refused = "--start-topology, which says where connections are"
    elif told.get("level") == "subword":
        refused = "--level subword, whose tokens are not numbered by how often they occur"
    if refused:
        raise UsageError(f"--rank-exponent does not go with {refused}; leave it out")
