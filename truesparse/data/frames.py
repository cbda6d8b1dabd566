"""Tables of which all columns are read: CSV, and Parquet and Arrow through pyarrow (the extra `arrow`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data.files import BytesFile, TextFile
from truesparse.data.tables import place_of, read_columns
from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import shown

MEND = "mend it, or take the row out"
TOO_LARGE = "which is too large for float32"
_UNITS: tuple[Any, ...] = ("D", "s", "ms", "us", "ns")  # of times, the coarsest that loses nothing


@dataclass(frozen=True)
class Frame:
    """A table.

    Attributes
    ----------
    name : str
        What it is called in messages.
    titles : list of str
        Names of the columns, which are different and not empty.
    columns : list
        Of each column its cells: a list of str, or an array of numbers, or of objects that are numbers, texts
        or None.
    rows : ndarray of int64, shape (n,)
        Numbers of the rows in the file.
    """

    name: str
    titles: list[str]
    columns: list[Any]
    rows: NDArray[np.int64]

    def __post_init__(self) -> None:
        for number, title in enumerate(self.titles):
            if not title:
                raise TruesparseError(
                    f"column {number + 1} of {self.name} has no name; name it in the first row, or leave it"
                    " out (pandas does, with index=False)"
                )
            if title in self.titles[:number]:
                raise TruesparseError(f"{self.name} has two columns {title!r}; give one another name")
        if not len(self.rows):
            raise TruesparseError(f"{self.name} has no rows but the names of its columns")

    def place(self, title: str, what: str) -> int:
        """Where the column is that has the `what`s; UsageError if there is none."""
        return place_of(self.titles, what, title, self.name)

    def texts(self, place: int, what: str) -> list[str]:
        """The cells of a column as texts without spaces around them; TruesparseError if one is empty."""
        column: Any = self.columns[place]
        if isinstance(column, np.ndarray) and column.dtype.kind == "M":
            missing = np.isnat(column)
            unit = next(unit for unit in _UNITS if (column.astype(f"M8[{unit}]") == column)[~missing].all())
            column = np.where(missing, "", np.datetime_as_string(column, unit)).tolist()
        elif isinstance(column, np.ndarray):
            column = ["" if _missing(cell) else _plain(cell) for cell in column.tolist()]
        texts = [cell.strip() for cell in column]
        if "" in texts:
            row = self.rows[texts.index("")]
            raise TruesparseError(f"row {row:,} of {self.name} has no {what} in {self._title(place)}; {MEND}")
        return texts

    def numbers(self, place: int, gaps: bool = False) -> NDArray[np.float64]:
        """The cells of a column as numbers.

        Parameters
        ----------
        place : int
        gaps : bool
            Whether empty cells are right; they become NaN.

        Raises
        ------
        TruesparseError
            A cell is no finite number.
        """
        column = self.columns[place]
        try:
            values = np.asarray(column, np.float64)
        except (TypeError, ValueError):
            values = np.array([_number(cell) for cell in column])
        fitting = fits(values)
        if fitting.all():
            return values
        for row, value, fine, cell in zip(self.rows, values, fitting, column, strict=True):
            cell = cell.item() if isinstance(cell, np.generic) else cell
            empty = not cell.strip() if isinstance(cell, str) else _missing(cell)
            if fine or (gaps and empty):
                continue
            why = TOO_LARGE if math.isfinite(value) else "which is no finite number"
            what = "is empty" if empty else f"is {shown(cell)}, {why}"
            raise TruesparseError(
                f"in row {row:,} of {self.name} the column {self._title(place)} {what}; {MEND}"
            )
        return values

    def _title(self, place: int) -> str:
        return repr(self.titles[place])


def fits(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which numbers are finite, also as float32."""
    with np.errstate(over="ignore"):
        return np.isfinite(values.astype(np.float32))


def _number(cell: object) -> float:
    """NaN if it is none."""
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _missing(cell: object) -> bool:
    return cell is None or cell != cell


def _plain(cell: object) -> str:
    """A cell as text, whole numbers without a fraction."""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def read_csv(file: TextFile) -> Frame:
    """All columns of a CSV file; raises as `read_columns` and `Frame`."""
    rows, numbers = [], []
    for row, values in read_columns(file, None):
        numbers.append(row)
        rows.append(values)
    columns: Sequence[Any] = [list(column) for column in zip(*rows[1:], strict=True)]
    return Frame(file.name, rows[0], [*columns], np.array(numbers[1:], np.int64))


def read_arrow(file: BytesFile, parquet: bool) -> Frame:
    """All columns of a Parquet file, or of an Arrow (Feather) file.

    Rows count from 1.

    Raises
    ------
    UsageError
        pyarrow is not installed.
    TruesparseError
        It cannot be read, or is no table of numbers, texts and times.
    """
    if find_spec("pyarrow") is None:
        raise UsageError(
            f'{file.name} needs pyarrow; install it with: pip install "truesparse[arrow]", or save the table'
            " as CSV"
        )
    import pyarrow
    import pyarrow.feather
    import pyarrow.parquet

    try:
        read = pyarrow.parquet.read_table if parquet else pyarrow.feather.read_table
        table = read(pyarrow.PythonFile(file.stream))
    except (pyarrow.ArrowException, OSError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind = "Parquet" if parquet else "Arrow"
        raise TruesparseError(f"{file.name} cannot be read as {kind}: {why}; write it anew") from None
    columns = []
    for title, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if pyarrow.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
            kind = kind.value_type
        if pyarrow.types.is_nested(kind) or pyarrow.types.is_binary(kind):
            raise TruesparseError(
                f"the column {title!r} of {file.name} is of the type {kind}; give numbers, texts or times,"
                " one in each cell"
            )
        columns.append(column.to_numpy())
    return Frame(file.name, list(table.column_names), columns, np.arange(1, table.num_rows + 1))
