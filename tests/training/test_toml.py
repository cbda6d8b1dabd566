"""A configuration comes back from TOML, whatever characters and bytes are in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from truesparse.errors import UsageError
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.run import _found
from truesparse.tasks.sources import resolve
from truesparse.training.toml import read_toml

pytestmark = pytest.mark.usefixtures("command")

ODD = "\x00\x01\t\n\r\x1b\x7f\x85\x9b\u2028\u202e\ufeff\uffff\U0001f600\"'\\#=[]é%"
TEXT = st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])), max_size=20)
# What a name of a file may be: bytes, which Python makes a text of.
PATHS = st.one_of(
    TEXT,
    st.binary(max_size=20).map(os.fsdecode),
    TEXT.map(lambda text: f"file:///{text}"),
    TEXT.map("/".join),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=PATHS, column=TEXT)
def test_round_trip(tmp_path: Path, data: str, column: str) -> None:
    config = ClassifierConfig(data=data, text_column=column, label_column=column[::-1])
    file = tmp_path / "c.toml"
    file.write_bytes(config.to_toml().encode("utf-8"))
    back = resolve({}, file, {}, ClassifierConfig)
    assert (back.text_column, back.label_column) == (column, column[::-1])
    assert back.data is not None
    same = back.data if data == back.data else str(Path(back.data))
    assert os.fsencode(same) in (os.fsencode(data), os.fsencode(Path(data).absolute()))
    # what a run's folder has: the same file, found from anywhere
    file.write_bytes(_found(config).to_toml().encode("utf-8"))
    found = read_toml(file)["data"]
    assert os.fsencode(found) == os.fsencode(str(Path(data).absolute()))


def test_only_what_needs_it_becomes_a_uri(tmp_path: Path) -> None:
    for data, line in (
        ("text.txt", 'data = "text.txt"'),
        ("/ü/file:", 'data = "/ü/file:"'),
        ("/tmp/a\x7fb", 'data = "/tmp/a\\u007fb"'),
        (os.fsdecode(b"/tmp/caf\xe9 x"), 'data = "file:///tmp/caf%E9%20x"'),
        (os.fsdecode(b"caf\xe9"), f'data = "{Path.cwd().as_uri()}/caf%E9"'),
        ("file:///x", f'data = "{Path.cwd().as_uri()}/file%3A/x"'),
    ):
        assert line in LanguageModelConfig(data=data).to_toml().splitlines()


def test_a_uri_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('data = "file:///a%20b/%C3%BC"\ntext_column = "file:///a%20b"')
    values = ClassifierConfig.load_toml(tmp_path / "c.toml")
    assert values == {"data": "/a b/ü", "text_column": "file:///a%20b"}


@pytest.mark.parametrize(
    ("field", "value"), [("text_column", "a\udce9"), ("data", "a\ud800"), ("label_column", "\udfff")]
)
def test_what_is_neither_text_nor_the_name_of_a_file(field: str, value: str) -> None:
    with pytest.raises(
        UsageError, match=rf"^--{field.replace('_', '-')} is '.*\\ud.*', which is not UTF-8; give"
    ):
        ClassifierConfig(**{field: value}).to_toml()
