import dataclasses

import pytest

from truesparse.errors import UsageError
from truesparse.optim import OPTIMIZERS, get_optimizer
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.training.chosen import defaults

pytestmark = pytest.mark.usefixtures("command")

DEFAULTS = {name: defaults("optimizer", name) for name in OPTIMIZERS}
SETTINGS = frozenset().union(*DEFAULTS.values()) - {"weight_decay", "lr_density_exponent"}  # the same in all


def test_every_setting_is_a_field_whose_default_is_the_optimizers():
    assert set(LanguageModelConfig.fields()) >= SETTINGS
    assert all(LanguageModelConfig.fields()[name].default is None for name in SETTINGS)
    for name, settings in DEFAULTS.items():
        filled = LanguageModelConfig(optimizer=name).filled()
        assert {setting: getattr(filled, setting) for setting in settings} == settings
        assert all(getattr(filled, setting) is None for setting in SETTINGS - settings.keys())
        assert filled.filled() == filled
        assert filled.optimizer_settings == OPTIMIZERS[name]()
    assert dataclasses.replace(LanguageModelConfig(), optimizer="adam", lr=3.0).filled().lr == 3.0


def test_they_are_built_with_their_settings(arena):
    settings = {"lr": 0.5, "beta1": 0.1, "beta2": 0.2, "epsilon": 0.3, "decoupled_decay": True, "clip": 9.0}
    optimizer = get_optimizer("adam")(weight_decay=0.7, **settings).build(arena)
    assert (optimizer.lr, optimizer.weight_decay, optimizer.beta1) == (0.5, 0.7, 0.1)
    assert (optimizer.beta2, optimizer.epsilon, optimizer.decoupled_decay) == (0.2, 0.3, True)
    assert all(name == kind.NAME for name, kind in OPTIMIZERS.items())


def test_a_setting_out_of_range_is_refused():
    with pytest.raises(UsageError, match=r"momentum is 1\.5; it must be at least 0 and below 1"):
        get_optimizer("sgd")(momentum=1.5)


def test_settings_of_another_optimizer_are_refused():
    for optimizer, setting in [
        ("adam", {"momentum": 0.9}),
        ("sgd", {"beta1": 0.5}),
        ("asgd", {"lr_decay": 2.0}),
    ]:
        with pytest.raises(UsageError, match=f"does not go with --optimizer {optimizer}; leave it out"):
            LanguageModelConfig(optimizer=optimizer, **setting)


def test_an_unknown_optimizer_names_the_nearest():
    with pytest.raises(UsageError, match="no optimizer 'sntasgd'; did you mean snt-asgd"):
        get_optimizer("sntasgd")
    with pytest.raises(UsageError, match="no optimizer 'xyz'; the optimizers are sgd, adam"):
        LanguageModelConfig(optimizer="xyz")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_says_whether_it_averages_and_which_states_come_later(name, arena):
    optimizer = OPTIMIZERS[name]().build(arena)
    counters = optimizer.counters()
    assert ("averaged_steps" in counters) == OPTIMIZERS[name].AVERAGES
    assert not optimizer.later_states(counters)
    if OPTIMIZERS[name].AVERAGES:
        losses = [1.0, *[2.0] * 6]
        for loss in losses:
            optimizer.evaluated(loss)
        optimizer.step()
        assert {*optimizer.later_states(optimizer.counters())} == arena.states.keys()
