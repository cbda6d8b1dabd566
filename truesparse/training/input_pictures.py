"""Which inputs of a model keep connections, as images over training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import UsageError
from truesparse.layers.chain import EMBEDDING
from truesparse.topology.snapshots import Snapshot
from truesparse.training.pictures import drawable, new_figure, save

_IMAGES = 6


def read_shape(text: str) -> tuple[int, int]:
    """Rows and columns of an image, such as 28x28; UsageError if the text has none."""
    found = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text.strip())
    shape = (int(found[1]), int(found[2])) if found else (0, 0)
    if not min(shape):
        raise UsageError(f"--inputs is {text!r}; give rows and columns of an image, such as 28x28")
    return shape


def draw_inputs(path: Path, run: Path, snapshots: Sequence[Snapshot], shape: tuple[int, int]) -> None:
    """Draw the outgoing connections of each pixel at some times, and how many the centre and the edge have.

    The centre is the middle half of rows and columns, the edge all the rest.

    Parameters
    ----------
    path : Path
        The file to write; its ending says of what kind.
    run : Path
        The folder of the run.
    snapshots : sequence of Snapshot
        Its topologies, from the first to the last.
    shape : (int, int)
        Rows and columns of the image that the inputs are.

    Raises
    ------
    UsageError
        There are no snapshots, or the inputs are not as many.

    References
    ----------
    Evci, "Rigging the lottery: making all tickets winners", Google AI blog, 2020: the map of MNIST's pixels.
    """
    if not snapshots:
        raise UsageError(f"{run} has kept no topologies to draw; train it with --keep-topologies 9, or more")
    name = next(iter(snapshots[0].matrices))
    counts = [snapshot.inputs(name) for snapshot in snapshots]
    rows, columns = shape
    if name == EMBEDDING or counts[0].size != rows * columns:
        what = "tokens, which are no image" if name == EMBEDDING else f"{counts[0].size:,} numbers"
        raise UsageError(
            f"--inputs {rows}x{columns} is {rows * columns:,} pixels, but the model of {run} reads {what}"
            "; give rows and columns that fit"
        )
    chosen = np.unique(np.linspace(0, len(snapshots) - 1, _IMAGES).round().astype(int))
    figure = new_figure((2.1 * len(chosen) + 0.8, 5))
    grid = figure.add_gridspec(2, len(chosen), height_ratios=(1.2, 1))
    figure.suptitle(drawable(run), fontsize=10, parse_math=False)
    most = max(own.max() for own in counts)
    for place, number in enumerate(chosen):
        axes = figure.add_subplot(grid[0, place])
        image = axes.imshow(counts[number].reshape(shape), vmin=0, vmax=most, cmap="viridis")
        axes.set_title(f"epoch {snapshots[number].epoch:.3g}", fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.colorbar(image, ax=figure.axes, shrink=0.8, label="connections")
    axes = figure.add_subplot(grid[1, :])
    epochs, centre = [snapshot.epoch for snapshot in snapshots], centre_of(shape)
    for label, part in (("centre", centre), ("edge", ~centre)):
        means = [own.reshape(shape)[part].mean() for own in counts]
        axes.plot(epochs, means, marker="o", markersize=3, label=label)
    axes.set_ylim(0, None)
    axes.set_xlabel("epoch")
    axes.set_ylabel("connections per pixel")
    axes.legend()
    axes.grid(alpha=0.3)
    save(figure, path, 110)


def centre_of(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which pixels lie in the middle half of rows and columns."""
    inside = [
        (places >= size // 4) & (places < size - size // 4)
        for size, places in ((size, np.arange(size)) for size in shape)
    ]
    return inside[0][:, None] & inside[1]
