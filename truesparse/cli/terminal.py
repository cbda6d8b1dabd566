"""Text from outside on a terminal."""

from __future__ import annotations

import sys
from typing import TextIO, cast

from truesparse.errors import printable


class _Shown:
    """A terminal to which texts are written that may hold anything; lines and tabs stay what they are."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, its control characters escaped."""
        lines = text.split("\n")
        shown = "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)
        self._stream.write(shown)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()


def standard_output() -> TextIO:
    """Standard output for data: as they are to a file or a pipe, without control characters to a terminal."""
    return cast(TextIO, _Shown(sys.stdout)) if sys.stdout.isatty() else sys.stdout
