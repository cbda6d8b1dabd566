"""What a training step learns from; windows of a text for truncated backpropagation through time."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import check_whole

MOST = np.iinfo(np.int32).max  # what the number of a token or a class can be


class Batch(NamedTuple):
    """What a training step learns from.

    Attributes
    ----------
    inputs : ndarray of int32, shape (steps, B), or of float32, shape (steps, D, B)
    targets : ndarray
        In the form that the model's head expects, for each step or for each sequence.
    lengths : ndarray of int32, shape (B,), or None
        Steps of each sequence, 0 in places that hold none; None if all have all steps.
    weights : ndarray of float64, shape (B,) or (steps, B), or None
        How much each sequence, or each target and 0 where there is none, counts in the mean loss; None if all
        count the same.
    carries : bool
        Whether sequences go on in the next batch, so that the hidden state is carried there.
    begins : bool
        Whether they begin here.
    counted : float
        How much the mean loss counts in the mean of several batches.
    tokens : int
        Steps of all sequences together.
    chosen : ndarray of int64, shape (at most B,), or None
        The numbers of the sequences, where they have any.
    rate : float
        What the learning rate is multiplied by in this step.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]
    lengths: NDArray[np.int32] | None = None
    weights: NDArray[np.float64] | None = None
    carries: bool = False
    begins: bool = True
    counted: float = 1.0
    tokens: int = 0
    chosen: NDArray[np.int64] | None = None
    rate: float = 1.0


@runtime_checkable
class Batches(Protocol):
    """Training data: batches of an epoch, always the same for the same epoch.

    Attributes
    ----------
    batch_size : int
        Sequences of a batch, B.
    longest : int
        The most steps of a batch.
    carries : bool
        See `Batch`.
    """

    batch_size: int
    carries: ClassVar[bool]

    @property
    def longest(self) -> int:
        """The most steps of a batch."""

    def __len__(self) -> int:
        """Batches of an epoch."""

    def batch(self, epoch: int, k: int) -> Batch:
        """Batch number `k` of an epoch, both from 0."""


class Windows:
    """A text as windows of `bptt` steps over `batch_size` parallel streams.

    The text is cut into `batch_size` contiguous streams of equal length; tokens that fill no stream are
    dropped. Window k continues each stream where window k - 1 left it, so the hidden state can be carried.
    Targets are the inputs shifted by one step; the last token of a stream is a target only.

    Parameters
    ----------
    ids : ndarray of int32, shape (n_tokens,)
    batch_size : int
        Number of streams, B.
    bptt : int
        Steps of a window, T. The last window of an epoch may have fewer.
    name : str
        Name of the text in error messages.
    varied : int, optional
        Seed of windows of random lengths, others in each epoch: as many as without, each boundary moved by up
        to a quarter of `bptt`. So every token is at every place of a window at some time. The learning rate
        goes with a window's length (Merity, Keskar & Socher, "Regularizing and optimizing LSTM language
        models", 2018, section 4.1, where lengths are normal about `bptt`).

    Attributes
    ----------
    batch_size, bptt : int
    steps : int
        Time steps of an epoch.
    tokens : int
        Targets of an epoch, ``steps * batch_size``.

    Raises
    ------
    UsageError
        `batch_size` or `bptt` is below 1.
    TruesparseError
        The text does not fill one window in every stream.

    Examples
    --------
    >>> windows = Windows(np.arange(11, dtype=np.int32), batch_size=2, bptt=3)
    >>> len(windows), windows.tokens
    (2, 8)
    >>> x, y = windows.window(0)
    >>> x.tolist(), y.tolist()
    ([[0, 5], [1, 6], [2, 7]], [[1, 6], [2, 7], [3, 8]])
    """

    __slots__ = ("_bounds", "_epoch", "_streams", "_varied", "batch_size", "bptt", "steps", "tokens")
    carries: ClassVar[bool] = True

    def __init__(
        self, ids: np.ndarray, batch_size: int, bptt: int, name: str = "text", varied: int | None = None
    ) -> None:
        batch_size, bptt = check_whole("--batch-size", batch_size), check_whole("--bptt", bptt)
        ids = np.asarray(ids)
        what = "" if ids.ndim == 1 and ids.dtype.kind in "iu" else f"is {ids.dtype} of shape {ids.shape}"
        if not what and ids.size and not 0 <= ids.min() <= ids.max() <= MOST:
            what = f"has the token {ids.min() if ids.min() < 0 else ids.max()}"
        if what:
            raise UsageError(
                f"the {name} {what}; it must be a row of whole numbers of tokens, from 0 to {MOST}"
            )
        needed = batch_size * (bptt + 1)
        if len(ids) < needed:
            raise TruesparseError(
                f"the {name} has {len(ids):,} tokens, but one batch of {batch_size} windows of {bptt} steps"
                f" needs {needed:,}; use a smaller --batch-size or --bptt, or a longer text"
            )
        length = len(ids) // batch_size
        streams = np.asarray(ids[: length * batch_size], np.int32).reshape(batch_size, length)
        self._streams = np.ascontiguousarray(streams.T)
        self.batch_size = batch_size
        self.bptt = bptt
        self.steps = length - 1
        self.tokens = self.steps * batch_size
        self._varied = varied
        self._epoch = -1
        self._bounds = np.minimum(np.arange(len(self) + 1) * bptt, self.steps)

    def __len__(self) -> int:
        """Windows of an epoch."""
        return -(-self.steps // self.bptt)

    @property
    def longest(self) -> int:
        """The most steps of a window."""
        return min(self.bptt if self._varied is None else self.bptt + 2 * (self.bptt // 4) + 1, self.steps)

    def batch(self, epoch: int, k: int) -> Batch:
        """Window `k` of an epoch, both from 0; all epochs have the same windows, unless they are varied."""
        rate = 1.0
        if self._varied is not None and epoch != self._epoch:
            self._vary(np.random.default_rng((self._varied, epoch)))
            self._epoch = epoch
        x, y = self.window(k)
        if self._varied is not None:
            rate = len(x) / self.bptt
        return Batch(x, y, carries=True, begins=k == 0, counted=x.size, tokens=x.size, rate=rate)

    def _vary(self, rng: np.random.Generator) -> None:
        """Draw where the windows of an epoch begin."""
        windows = len(self)
        even = np.arange(1, windows) * (self.steps / windows)
        # Of a text that is hardly longer than a window none gets empty.
        most = min(self.bptt // 4, int((self.steps / windows - 1) / 2))
        moved = even + rng.uniform(-most, most, windows - 1)
        self._bounds = np.concatenate([[0], moved.round(), [self.steps]]).astype(np.int64)

    def window(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of window `k`, of the epoch of the last `batch` if they are varied.

        Parameters
        ----------
        k : int
            0 <= k < len(self)

        Returns
        -------
        x, y : ndarray of int32, shape (steps of the window, batch_size)
            C-contiguous views. Do not write to them.

        Raises
        ------
        IndexError
            There is no window `k`.
        """
        if not 0 <= k < len(self):
            raise IndexError(f"window {k} of {len(self)}")
        start, stop = self._bounds[k : k + 2]
        return self._streams[start:stop], self._streams[start + 1 : stop + 1]
