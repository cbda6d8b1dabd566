"""What leads into what: the layers of a model as the topology distance sees them."""

from __future__ import annotations

from collections.abc import Sequence

from truesparse.topology.distance import FIXED, Input, Layer


def wiring(
    matrices: Sequence[str], layer_names: Sequence[str], gates: tuple[str, ...], tied: bool = False
) -> list[Layer]:
    """Return the layers of a model that have sparse matrices, from the inputs to the outputs.

    Parameters
    ----------
    matrices : sequence of str
        Their names; of a layer that of the inputs comes first, then those of the state.
    layer_names : sequence of str
        What the names of each layer's matrices begin with.
    gates : tuple of str
        What is stacked in the matrices of the layers.
    tied : bool
        Whether the output layer uses the matrix of the embedding.

    Returns
    -------
    list of Layer
        The units of the embedding are its features, and its inputs the words. Words and outputs have an order
        of their own, so the rows of the output layer are not matched. With tied weights the features of the
        embedding are the units of the last layer, and the one matrix is the embedding's.
    """
    layers, source = [], FIXED
    if "embedding.weight" in matrices:
        source = layer_names[-1] if tied else "embedding"
        layers.append(Layer("embedding", source, ((Input("embedding.weight", FIXED),),), by_column=True))
    for name in layer_names:
        first, second, *others = (matrix for matrix in matrices if matrix.startswith(f"{name}."))
        sums = ((Input(first, source), Input(second, name)), *((Input(other, name),) for other in others))
        layers.append(Layer(name, name, sums, gates=gates))
        source = name
    if "output.weight" in matrices:
        layers.append(Layer("output", FIXED, ((Input("output.weight", source),),)))
    return layers
