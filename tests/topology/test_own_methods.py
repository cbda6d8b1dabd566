"""A method of your own: errors come when it is made, and its description of itself counts."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import truesparse as ts
from truesparse.errors import UsageError
from truesparse.topology import METHODS, Beginning, Method, cosine

TOKENS = 7
BATCHES = ts.Windows(np.random.default_rng(1).integers(3, size=200).cumsum() % TOKENS, 4, 8)


def model(density: float) -> ts.Model:
    return ts.Chain(ts.Embedding(TOKENS, 4), ts.LSTM(5), ts.Softmax(TOKENS)).init(density)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"drop": "smalest_magnitude"}, r"no drop rule 'smalest_magnitude'; did you mean smallest_magnitude"),
        ({"drop": "granet.smallest_over_target"}, "did you mean granet.smallest_beyond_target"),
        ({"drop": "nowhere.smallest_magnitude"}, "no drop rule 'nowhere.small.*; did you mean smallest_m"),
        ({"drop": 3}, "drop is 3; it must be a function or the name of one"),
        ({"grow": "hihgest_scores"}, r"no grow rule 'hihgest_scores'; did you mean highest_scores"),
        ({"redistribute": "by_survivor"}, r"no redistribute rule 'by_survivor'; did you mean by_survivors"),
        ({"first_values": "random_sign"}, "no first_values rule 'random_sign'; did you mean random_signs"),
        ({"fractions": "of_nearly_full"}, "did you mean less_of_nearly_full"),
        ({"adapt": "double_or_half"}, "no adapt rule 'double_or_half'; did you mean double_or_halve"),
        ({"schedule": "cosin"}, "no schedule rule 'cosin'; did you mean cosine"),
        ({"prepare": "keep_salients"}, "no prepare rule 'keep_salients'; did you mean keep_salient"),
        ({"hooks": "hooks.GradientHook"}, "no hooks rule 'hooks.GradientHook'; did you mean GradientHooks"),
        ({"initial": "foo"}, "no initial state 'foo'; the initial states are sparse, dense, small"),
        ({"initial": "dens"}, r"no initial state 'dens'; did you mean dense"),
        ({"defaults": {"drop_fraction": 1.5}}, "^drop_fraction is 1.5; it must be at least 0 and below 1$"),
        ({"defaults": {"update_interval": -1}}, "^update_interval is -1; it must be at least 0"),
        ({"defaults": {"update_interval": 2.5}}, "^update_interval is 2.5; it must be a whole number$"),
        ({"defaults": {"drop_fractoin": 0.5}}, "no setting 'drop_fractoin'; did you mean drop_fraction"),
        (
            {"settings": METHODS["deepr"].settings, "defaults": {"noise": -1.0}},
            "^noise is -1.0; it must be at least 0$",
        ),
    ],
)
def test_what_is_wrong_is_said_when_a_method_is_made(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Method("mine", "what I want", **arguments)


@pytest.mark.parametrize("name", METHODS)
def test_there_is_every_rule_of_the_table(name: str) -> None:
    """The table is not checked as it is made."""
    Method._check_rules(METHODS[name])
    copy = pickle.loads(pickle.dumps(METHODS[name]))
    assert (copy.name, copy.defaults, [*copy.fields]) == (name, METHODS[name].defaults, [*copy.defaults])


def test_names_and_functions_are_the_same() -> None:
    named = Method("mine", "what I want", schedule="cosine", final_fraction=0.1)
    given = Method("mine", "what I want", schedule=cosine, final_fraction=0.1)
    assert named.fraction(0.5, 30, 100) == given.fraction(0.5, 30, 100) == cosine(0.5, 0.1, 30, 100)


def test_common_settings_and_others_together() -> None:
    method = Method(
        "mine", "what I want", defaults={"update_end": 1, "l1": 2}, settings=METHODS["deepr"].settings
    )
    assert method.defaults == {"update_end": 1.0, "l1": 2.0, "noise": 1e-5}
    assert {name: field.default for name, field in method.fields.items()} == method.defaults
    assert method.with_settings(l1=0.5).fields["l1"].default == 0.5
    with pytest.raises(
        UsageError, match="the method mine has no setting 'drop_fraction'; it has update_end, l1"
    ):
        method.with_settings(drop_fraction=0.5)


def test_a_choice_before_training_of_ones_own() -> None:
    """It is told the gradients that it asks for, and `fit` asks for the density that it leaves."""
    told = []

    def keep_first(beginning: Beginning, density: float, gradients: Any) -> float:
        flops = gradients(2)
        told.append((density, flops, float(np.abs(beginning.arena.grads).sum())))
        return METHODS["snip"].choose(
            Beginning(beginning.arena, beginning.rng, {"saliency_windows": 1}), density, gradients
        )

    mine = Method("mine", "what I want", initial="dense", prepare=keep_first)
    assert (mine.density, mine.ends_sparser, mine.sparse_from_the_start) == (None, True, True)
    with pytest.raises(UsageError, match="needs the density of the model in the end"):
        ts.fit(model(1.0), BATCHES, ts.adam(), mine, epochs=1)
    sparse = model(1.0)
    ts.fit(sparse, BATCHES, ts.adam(), mine, epochs=1, density=0.4)
    assert sparse.density == pytest.approx(0.4, abs=0.01)
    ((density, flops, gradient),) = told
    assert density == 0.4
    assert flops > 0
    assert gradient > 0


def test_a_setting_of_ones_own_that_says_how_to_begin() -> None:
    granet = METHODS["granet"]
    mine = Method("mine", "what I want", initial_setting="initial_density", settings=granet.settings)
    assert mine.first_density({"initial_density": 0.7}, 0.2) == 0.7
    with pytest.raises(UsageError, match="initial_density is what init has given the model; leave it out"):
        ts.fit(model(0.4), BATCHES, ts.adam(), mine.with_settings(initial_density=0.3), epochs=1)
