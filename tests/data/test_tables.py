"""Lines of text that arrive piece by piece."""

import io

import pytest

from truesparse.data.files import open_text
from truesparse.data.tables import is_table, read_lines
from truesparse.errors import TruesparseError


class Pieces(io.BytesIO):
    """A stream of which few bytes arrive at a time."""

    def read1(self, size=-1):
        return super().read1(3)


def lines(content):
    with open_text(Pieces(content), "x") as file:
        return [line for some in read_lines(file) for line in some]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_lines(end, encoding):
    content = end.join(["one", "", "caf\u00e9", "", ""]).encode(encoding)
    assert lines(content) == [(1, "one"), (2, ""), (3, "caf\u00e9"), (4, "")]
    assert lines(b"") == []


def test_a_stray_carriage_return_is_no_line_end_where_lines_end_otherwise():
    assert lines(b"a\nb\rc\r\nd") == [(1, "a"), (2, "b\rc"), (3, "d")]


def test_good_lines_come_before_the_error():
    with open_text(io.BytesIO(b"a\nb\nc\xff\nd\n"), "x") as file:
        some = read_lines(file)
        assert next(some) == [(1, "a"), (2, "b")]
        with pytest.raises(
            TruesparseError, match="line 3 of x is not UTF-8 text: the byte 0xff does not fit"
        ):
            next(some)


def test_which_names_are_tables():
    assert all(map(is_table, ("a.csv", "A.CSV", "a.Tsv.GZ", "a.csv.xz")))
    assert not any(map(is_table, ("a.txt", "csv", "a.csv.txt")))
