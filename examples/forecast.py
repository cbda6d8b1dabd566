"""Forecasts the sales of three shops for a week, with a truly sparse network on top of a simple forecast.

    python examples/forecast.py [EPOCHS [PICTURE.png]]

The sales are made here: a level and a trend of each shop, a week, noise, and promotions, which the shops
know a week ahead. A promotion sells much on its day, and takes some of the sales of the next. One forecaster
learns all shops. It is saved, and used where nothing is installed but NumPy and safetensors.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from truesparse import runtime
from truesparse.sklearn import SparseLSTMForecaster

DAYS, WEEK = 400, 7


def sales_of(shop: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sales of each day, and whether there was a promotion."""
    day = np.arange(DAYS)
    promotion = (rng.random(DAYS) < 0.2).astype(float)
    week = np.array([0, 0, 1, 2, 5, 9, 4])[day % WEEK]
    moved = 8 * promotion - 5 * np.roll(promotion, 1)  # bought a day early
    return 20 + 10 * shop + 0.02 * day + week + moved + rng.normal(0, 0.5, DAYS), promotion


def main(epochs: int = 20, picture: str = "") -> None:
    """Train, measure, save, and forecast a week with a promotion and one without."""
    rng = np.random.default_rng(0)
    sales, promotions = map(list, zip(*(sales_of(shop, rng) for shop in range(3)), strict=True))
    model = SparseLSTMForecaster(
        horizon=WEEK,
        season=WEEK,
        hidden_size=32,
        density=0.1,
        epochs=epochs,
        validation_fraction=0.15,
        random_state=0,
    )
    model.fit([own[:-60] for own in sales], [own[:-60] for own in promotions])
    last = [own[-60:] for own in sales], [own[-60:] for own in promotions]
    changes = np.array([own[WEEK:] - own[:-WEEK] for own in last[0]])
    print(f"{model.nnz_} weights; {len(model.encoder_.linear)} coefficients of the linear part")
    print(f"R² of the last 60 days {model.score(*last):.3f}")
    print(f"R² of the sales a week before {1 - np.mean(changes**2) / np.var(last[0]):.3f}")

    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "sales")
        forecaster = runtime.load_forecaster(Path(folder) / "sales")
    history = np.stack([sales[0], promotions[0]], axis=1)
    plans = {"without": np.zeros(WEEK), "with": np.eye(WEEK)[2]}
    weeks = {name: forecaster.predict(history, planned) for name, planned in plans.items()}
    for name, week in weeks.items():
        print(f"next week of a shop, {name} a promotion on the third day:", *(f"{x:.1f}" for x in week))
    if picture:
        from matplotlib import pyplot as plt

        figure, axis = plt.subplots(figsize=(8, 3), layout="constrained")
        axis.plot(range(-27, 1), sales[0][-28:], color="black", label="last four weeks")
        for name, week in weeks.items():
            axis.plot(range(1, WEEK + 1), week, "o-", label=f"{name} a promotion on day 3")
        axis.set(xlabel="days", ylabel="sales of a shop")
        figure.legend(loc="outside upper center", ncols=3)
        figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:])
