"""Windows of series whose next steps are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from truesparse.data.files import open_file
from truesparse.data.forecast import divide, encode, guess_season, last_windows, with_linear
from truesparse.data.linear import lags_of
from truesparse.data.sequences import Sequences
from truesparse.data.series import Series, SeriesColumns
from truesparse.data.series_encoder import SeriesEncoder
from truesparse.data.series_files import read_series
from truesparse.data.series_parts import SERIES, load_series
from truesparse.errors import TruesparseError

pytestmark = pytest.mark.usefixtures("command")
COLUMNS = SeriesColumns("forecast", "y", "who", "t", "promo", horizon=3, lookback=4, season=2)
ENCODER = SeriesEncoder("forecast", ("y", "promo", "w"), ("y",), ("promo",), 4, 3, 2)


def write(path: Path, steps: int = 30, future: int = 0, names: str = "ab") -> Path:
    """Two series: y of step t is 100 + t, or 200 + t; promo is t mod 3, w is -t."""
    rows = ["t,promo,who,y,w"]
    for k, name in enumerate(names, 1):
        rows += [f"{t},{t % 3},{name},{100 * k + t},{-t}" for t in range(steps)]
        rows += [f"{t},{t % 3},{name},," for t in range(steps, steps + future)]
    path.write_text("\n".join(rows))
    return path


def read(path: Path, columns: SeriesColumns = COLUMNS, labelled: bool = True) -> Series:
    with open_file(path, "csv") as file:
        return read_series(file, "csv", columns, labelled)


def test_a_window_has_what_is_known_when_the_forecast_is_made(tmp_path: Path) -> None:
    inputs, labels, *_ = encode(read(write(tmp_path / "a.csv")), ENCODER)
    assert len(inputs) == 2 * (30 - 2 - 4 - 3 + 1)
    chosen = np.array([0, 1, 22, 43])  # the first two of the first series, the first and last of the second
    windows, lengths = inputs.batch(chosen, 5)
    assert lengths.tolist() == [4] * 4 + [0]
    for place, begin, base in (0, 2, 100), (1, 3, 100), (2, 2, 200), (3, 23, 200):
        t = np.arange(begin, begin + 4)
        expected = [base + t, t % 3, -t, np.full(4, 2), (t + 1) % 3, (t + 2) % 3, (t + 3) % 3]
        np.testing.assert_array_equal(windows[:, :, place].T, expected)
        later = base + t[-1] + np.arange(1, 4)
        naive = base + t[-1] + np.array([-1, 0, -1])
        np.testing.assert_array_equal(inputs.naive[:, chosen[place]], naive)
        np.testing.assert_array_equal(labels[:, chosen[place]], later - naive)
    assert not windows[:, :, 4].any()
    some, _ = inputs.select(chosen).batch(np.arange(4), 5)
    np.testing.assert_array_equal(some, windows)
    assert ENCODER.read == ("y", "promo", "w", "change of y", *(f"promo, {k} later" for k in (1, 2, 3)))


def test_the_last_window_is_as_if_the_next_steps_were_there(tmp_path: Path) -> None:
    columns = COLUMNS._replace(encoder=ENCODER)
    told = read(write(tmp_path / "a.csv", 27, 3), columns, labelled=False)
    encoder = replace(ENCODER, linear=tuple(np.arange(9.0)))
    last = last_windows(told, encoder)
    every = encode(read(write(tmp_path / "b.csv", 30)), encoder).inputs
    ends = np.array([21, 43])
    np.testing.assert_array_equal(last.batch(np.arange(2), 2)[0], every.batch(ends, 2)[0])
    np.testing.assert_array_equal(last.naive, every.naive[:, ends])
    np.testing.assert_array_equal(last.simple, every.simple[:, ends])
    # y goes up by 1 a step: 2 and 1 less than the last one, times coefficients, and what stands alone.
    added = [[0 * -2 + 1 * -1 + 2], [3 * -2 + 4 * -1 + 5], [6 * -2 + 7 * -1 + 8]]
    np.testing.assert_array_equal(last.simple - last.naive, np.repeat(added, 2, axis=1))


def test_parts_follow_one_another_in_time(tmp_path: Path) -> None:
    data = load_series(write(tmp_path / "a.csv", 60), COLUMNS, 0.1, 0.2, 1)
    assert replace(data.encoder, linear=()) == ENCODER
    forecast = {}
    for part, (inputs, labels, *_) in data.parts.items():
        forecast[part] = (labels + inputs.simple)[:, : len(inputs) // 2] - 100
    ends = {part: (int(first.min()), int(first.max())) for part, first in forecast.items()}
    # Of 60 steps the last 12, of the 48 before the last 5; the first step that is forecast has 6 before it.
    assert ends == {"train": (6, 42), "valid": (43, 47), "test": (48, 59)}


def test_parts_are_as_long_as_a_forecast(tmp_path: Path) -> None:
    parts = SERIES.read_parts(write(tmp_path / "a.csv", 40), COLUMNS, 0.01, 0.01, 1)
    assert [len(part.inputs.values) for part in parts.values()] == [2 * 34, 2 * 9, 2 * 9]


def seasonal(season: int, noise: float, seed: int = 0) -> Series:
    rng = np.random.default_rng(seed)
    t = np.arange(300)
    values = 5 * np.sin(2 * np.pi * t / season) + 0.1 * t + noise * rng.normal(size=300)
    return Series("f", ("y",), Sequences.of([values[:, None], values[50:, None]]), np.array([0, 300]))


@pytest.mark.parametrize("season", [4, 7, 12, 24])
def test_a_season_is_seen(season: int) -> None:
    assert guess_season(seasonal(season, 0.5), 1) == season


def autoregressive(noise: float) -> Series:
    """A target that is 1.6 of its last step less 0.9 of the one before, and another that is noise."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(300, 2))
    for step in range(2, 300):
        values[step, 0] = 1.6 * values[step - 1, 0] - 0.9 * values[step - 2, 0] + noise * rng.normal()
    return Series("f", ("a", "b"), Sequences.of([values + 50, values[::-1][:200] + 9]), np.array([0, 300]))


def test_a_linear_part_is_the_ridge_regression_that_tells_best_what_was_held_out() -> None:
    series, encoder = autoregressive(0.3), SeriesEncoder("forecast", ("a", "b"), ("a", "b"), (), 5, 2, 1)
    train, held_out = divide(replace(series, encoder=encoder), 0.2)
    found = with_linear(train, held_out, encoder)
    coefficients = np.array(found.linear).reshape(2, 2, 5)

    def both(part: Series) -> tuple[np.ndarray, np.ndarray]:
        inputs, labels, _ = encode(part, encoder)
        windows = inputs.batch(np.arange(len(inputs)), len(inputs))[0][:, 0].T.astype(float)
        return (windows - windows[:, -1:])[:, :-1], labels[::2].T.astype(float)

    def ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
        centred = x - x.mean(axis=0)
        size = np.sqrt(penalty * np.square(centred).sum() / x.shape[1])
        rows = np.concatenate([centred, size * np.eye(x.shape[1])])
        zeros = np.zeros((x.shape[1], y.shape[1]))
        slopes = np.linalg.lstsq(rows, np.concatenate([y - y.mean(axis=0), zeros]), rcond=None)[0]
        return np.concatenate([slopes, (y.mean(axis=0) - x.mean(axis=0) @ slopes)[None]])

    tried = [ridge(*both(train), 10 ** (half / 2)) for half in range(-14, 9)]
    x, y = both(held_out)
    best = min(tried, key=lambda own: np.square(y - x @ own[:-1] - own[-1]).sum())
    np.testing.assert_allclose(coefficients[0], best.T, rtol=1e-4, atol=1e-5)
    assert np.abs(best).max() > 0.3
    # Once more, with that penalty, of both parts: the steps at which they were cut are whole again.
    penalty = 10 ** ((np.argmin([np.square(y - x @ own[:-1] - own[-1]).sum() for own in tried]) - 14) / 2)
    again = np.array(with_linear(train, held_out, found, both=True).linear).reshape(2, 2, 5)
    np.testing.assert_allclose(again[0], ridge(*both(series), penalty).T, rtol=1e-4, atol=1e-5)
    assert np.abs(again - coefficients).max() > 1e-3
    apart = with_linear(held_out, train, found, both=True)  # of no neighbours each is for itself
    assert np.isfinite(apart.linear).all()
    # A network has learned what the first linear part left: a target without one gets none.
    assert with_linear(train, held_out, encoder, both=True) == encoder
    one = replace(found, linear=(*np.zeros(10).tolist(), *np.ones(10).tolist()))
    assert with_linear(train, held_out, one, both=True).linear[:10] == one.linear[:10]
    # Of a series alone the last fifth is held out, and all of it is learned from.
    assert with_linear(train, None, encoder).linear != found.linear
    measured = [np.square(encode(held_out, own).labels).mean(axis=1) for own in (found, encoder)]
    assert (measured[0][::2] < 0.5 * measured[1][::2]).all()


def test_there_is_no_linear_part_where_it_does_not_help() -> None:
    encoder = SeriesEncoder("forecast", ("y",), ("y",), (), 4, 1, 1)
    turning = np.concatenate([np.arange(80.0), 80 - np.arange(20.0)])  # what has gone up goes down at the end
    series = Series("f", ("y",), Sequences.of([turning[:, None]]), np.array([0]))
    train, held_out = divide(replace(series, encoder=encoder), 0.2)
    assert with_linear(train, held_out, encoder) == encoder
    assert lags_of(replace(encoder, lookback=4000, horizon=2000)) == 16  # few of each, that all are few


def test_no_season_is_seen_where_there_is_none() -> None:
    walk = np.random.default_rng(3).normal(size=(2, 300)).cumsum(axis=1)
    for values in walk, np.diff(walk), np.arange(600).reshape(2, 300), np.ones((2, 3)):
        series = Series("f", ("y",), Sequences.of([v[:, None] for v in values]), np.array([0, 1]))
        assert guess_season(series, 1) == 1


def test_what_is_not_said_is_taken_from_the_data(tmp_path: Path) -> None:
    lines = ["y", *(f"{5 * np.sin(t * np.pi / 3):.4f}" for t in range(90))]
    (tmp_path / "y.csv").write_text("\n".join(lines))
    data = load_series(tmp_path / "y.csv", SeriesColumns("forecast", horizon=4), 0.1, 0.1, 1)
    assert replace(data.encoder, linear=()) == SeriesEncoder("forecast", ("y",), ("y",), (), 16, 4, 6)
    np.savez(tmp_path / "x.npz", X=np.arange(120.0).reshape(2, 30, 2))
    data = load_series(tmp_path / "x.npz", SeriesColumns("forecast", horizon=2), 0.1, 0.1, 1)
    # A straight line of slope 2 goes up by 2 and 4, whatever the lags say.
    drift = tuple(float(step) if lag == 6 else 0.0 for step in (2, 4, 2, 4) for lag in range(7))
    assert data.encoder == SeriesEncoder("forecast", ("x1", "x2"), ("x1", "x2"), (), 7, 2, 1, drift)
    assert data.parts["test"].labels.shape[0] == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"horizon": 70}, r"the series 'a' of .* has 60 steps, of which 70 are taken out, but a season of 2"),
        (
            {"horizon": 30},
            "of which 30 are taken out, but .* and a horizon of 30 need 36; give a longer series",
        ),
        ({"lookback": 50}, "a lookback of 50 and a horizon of 3 need 55"),
        ({"season": 50}, "a season of 50, a lookback of 4"),
        ({"target": "z"}, "no column 'z' of numbers, as --target-column says; they are promo, y, w"),
        ({"known": "promo, z"}, "no column 'z' of numbers, as --known-columns says"),
        ({"known": "y"}, "'y' cannot be both forecast and known"),
        ({"id": ""}, "row 62 of .* has the time 0, which is before that of the row above it, 59"),
    ],
)
def test_what_cannot_be_forecast(tmp_path: Path, more: dict[str, object], message: str) -> None:
    with pytest.raises(TruesparseError, match=message):
        load_series(write(tmp_path / "a.csv", 60), COLUMNS._replace(**more), 0.1, 0.1, 1)


def test_which_column_is_forecast_must_be_clear(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,u,v\n" + "".join(f"{t},1,2\n" for t in range(50)))
    with pytest.raises(
        TruesparseError, match="has the columns u, v; say with --target-column which to forecast"
    ):
        load_series(tmp_path / "a.csv", SeriesColumns("forecast", time="t", horizon=2), 0.1, 0.1, 1)
    (tmp_path / "a.csv").write_text("t,u\n" + "".join(f"{t},1\n" for t in [*range(25), *range(26, 50)]))
    with pytest.raises(TruesparseError, match=r"row 27 of .* has the time 26 after 24, another distance"):
        load_series(tmp_path / "a.csv", SeriesColumns("forecast", time="t", horizon=2), 0.1, 0.1, 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("27,0,a,,", "27,0,a,5,-5", "the series 'a' of .* has 2 rows without 'y' at its end; give 3 behind"),
        ("28,1,b,,", "28,,b,,", "in row 60 of .* the column 'promo' is empty"),
        ("9,0,a,109,-9", "9,0,a,,-9", "in row 11 of .* the column 'y' is empty"),
        ("9,0,a,109,-9", "9,0,a,x,-9", "in row 11 of .* the column 'y' is 'x', which is no finite number"),
    ],
)
def test_mistakes_in_what_is_known_of_the_next_steps(tmp_path, old: str, new: str, message: str) -> None:
    path = write(tmp_path / "a.csv", 27, 3)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(TruesparseError, match=message):
        read(path, COLUMNS._replace(encoder=ENCODER), labelled=False)
    with pytest.raises(TruesparseError, match="has 5 steps but"):
        last_windows(read(write(tmp_path / "b.csv", 5, 3), COLUMNS._replace(encoder=ENCODER), False), ENCODER)
