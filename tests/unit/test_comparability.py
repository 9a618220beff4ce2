"""What a number of `val/rd_loss` may be ranked with."""

import pytest

from lic_exp.comparability import MEASURES_AS, kind_of, ranking_faults, unlike
from lic_exp.config.compose import compose
from lic_exp.config.overrides import parse


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("criterion.lmbda", "lambda sets"),
        ("criterion.lmbda_max", "lambda sets"),
        ("criterion.validation_rates", "criteria"),
        ("criterion._target_", "criteria"),
        ("criterion.share_lr", ""),
        ("data.val", "validation sets"),
        ("data.val_limit", "validation sets"),
        ("data.train", ""),
        ("data.batch_size", ""),
        ("optimizer.lr", ""),
        ("seed", ""),
    ],
)
def test_what_is_another_where_a_key_differs(key, kind):
    assert kind_of(key) == kind


def test_configs_that_differ_elsewhere_are_ranked():
    configs = [{"seed": seed, "criterion": {"lmbda": 0.01}, "data": {"batch_size": seed}} for seed in range(3)]
    assert unlike(configs) == {}
    assert ranking_faults("a search ranks", configs) == []


@pytest.mark.parametrize(("plain", "learning"), [("mse", "balanced_mse"), ("variable_rate", "balanced")])
def test_criteria_that_measure_the_same_are_ranked_together(plain, learning):
    configs = [compose(parse([f"criterion={name}"])) for name in (plain, learning)]
    assert configs[0]["criterion"]["_target_"] != configs[1]["criterion"]["_target_"]
    assert {MEASURES_AS.get(config["criterion"]["_target_"]) for config in configs} == {
        None,
        configs[0]["criterion"]["_target_"],
    }
    assert unlike(configs) == {}
    assert next(iter(unlike([*configs, compose(parse(["criterion=ms_ssim"]))]))) == "criterion._target_"


def test_each_key_is_named_with_its_values_and_what_to_do():
    configs = [{"criterion": {"lmbda": lmbda}, "data": {"val_limit": None}} for lmbda in (1, 2, 3, 4, 5, 6, 6)]
    configs[0]["data"] = {"val_limit": 4}
    rate, images = ranking_faults("a search ranks", configs)
    assert "criterion.lmbda: a search ranks by val/rd_loss" in rate
    assert "at each of 1, 2, 3, 4, 5 and 1 more, and is lower for a lower lmbda" in rate
    assert "data.val_limit" in images
    assert "4, null: give this key one value" in images
