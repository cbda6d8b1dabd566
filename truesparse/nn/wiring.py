"""What leads into what: the layers of a model as the topology distance sees them."""

from __future__ import annotations

from truesparse.nn.spec import CELLS, LanguageModelSpec, RecurrentSpec
from truesparse.topology.distance import FIXED, Input, Layer


def wiring(spec: RecurrentSpec) -> list[Layer]:
    """Return the layers of a model that have sparse matrices, from the inputs to the outputs.

    Parameters
    ----------
    spec : RecurrentSpec

    Returns
    -------
    list of Layer
        The units of the embedding are its features, and its inputs the words. Words and outputs have an order
        of their own, so the rows of the output layer are not matched. With tied weights the features of the
        embedding are the units of the last layer, and the one matrix is the embedding's.
    """
    matrices = {shape.name for shape in spec.shapes}
    layers, source = [], FIXED
    if "embedding.weight" in matrices:
        tied = isinstance(spec, LanguageModelSpec) and spec.tied
        source = spec.layer_names[-1] if tied else "embedding"
        layers.append(Layer("embedding", source, ((Input("embedding.weight", FIXED),),), by_column=True))
    inputs = spec.embedding_size
    for name in spec.layer_names:
        shapes = CELLS[spec.cell].shapes(name, inputs, spec.hidden_size, spec.depth)
        first, second, *others = (shape.name for shape in shapes)
        sums = ((Input(first, source), Input(second, name)), *((Input(other, name),) for other in others))
        layers.append(Layer(name, name, sums, gates=spec.gates))
        source, inputs = name, spec.hidden_size
    if "output.weight" in matrices:
        layers.append(Layer("output", FIXED, ((Input("output.weight", source),),)))
    return layers
