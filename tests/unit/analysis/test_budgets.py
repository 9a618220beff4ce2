"""Budgets that are not comparable: which runs it is, and why."""

import math

import numpy as np
import pytest
import yaml
from run_folders import curve, write_run

from analysis.__main__ import main
from analysis.budgets import budget_speed_up
from analysis.comparable import NotComparableError

LENGTHS = (5, 10, 20)


@pytest.fixture
def arm(tmp_path):
    """Writes an arm of decayed runs of three lengths: final level 3 - 0.2 log(factor * steps)."""

    def written(name, factor=1.0, changes=({}, {}, {}), lengths=LENGTHS, ends=None):
        ends = ends or [3 - 0.2 * math.log(factor * 10 * n) for n in lengths]
        return [
            write_run(
                tmp_path / "runs" / f"{name}{n:02}",
                curve(np.linspace(9, end, n), lr=np.linspace(1, 0.01, n)),
                trainer={"max_steps": 10 * n, "accumulate": 1},
                **change,
            )
            for n, end, change in zip(lengths, ends, changes, strict=True)
        ]

    return written


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("optimizer.lr", {"optimizer__lr": 0.5}),
        ("model.N", {"model__N": 8}),
        ("data.batch_size", {"data__batch_size": 2}),
        ("spectral_reg.delta", {"spectral_reg__delta": 0.1}),
    ],
)
@pytest.mark.parametrize("which", ["baseline", "test"])
def test_an_arm_that_is_two_is_refused_with_its_runs(arm, key, change, which):
    arms = {"baseline": arm("a"), "test": arm("b")}
    arms[which] = arm("c", changes=({}, change, {}))
    with pytest.raises(NotComparableError, match=rf"the {which}'s runs are no budgets of one arm.*{key} is .* in c10"):
        budget_speed_up(**arms)
    assert budget_speed_up(**arms, trusted=[key]).ratios["steps"].value == pytest.approx(1)


@pytest.mark.parametrize(
    "change",
    [
        {"spectral_reg__truncation_length": 7},
        {"scheduler": {"_target_": "a.Multistep", "milestones": [3]}},
        {"name": "another"},
    ],
)
def test_what_follows_the_length_or_changes_nothing_may_differ(arm, change):
    base = [change if "scheduler" not in change else {"scheduler": {"_target_": "a.Multistep", "milestones": [1]}}] * 2
    found = budget_speed_up(arm("a"), arm("b", 1.5, changes=(*base, change)))
    assert found.ratios["steps"].value == pytest.approx(1.5)


@pytest.mark.parametrize("key", ["keep_every_steps", "resume_elsewhere", "log_every_steps", "threads"])
def test_what_no_name_is_made_of_tells_no_budgets_apart(arm, key):
    mixed = arm("a")
    for folder, value in zip(mixed[1:], (None, 50), strict=True):  # the first is too old to have it
        config = yaml.safe_load((folder / "config.yaml").read_text())
        config["trainer"][key] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert budget_speed_up(mixed, arm("b", 1.5)).ratios["steps"].value == pytest.approx(1.5)


def test_a_run_that_is_too_old_for_a_key_is_as_one_with_the_value_that_changes_nothing(arm):
    """Of the platform's keys, of a component's options, and of what makes losses comparable."""
    target = "lic_exp.training.variable_rate.VariableRate"
    old = {"_target_": target, "lmbda_min": 0.001, "lmbda_max": 0.05}
    new, other = old | {"balance": 0.0}, old | {"balance": 0.5}
    changes = [{"criterion": old}, {"criterion": new, "model__weights_key": None}, {"criterion": new}]
    baseline = arm("a", changes=changes)
    found = budget_speed_up(baseline, arm("b", 1.5, changes=[{"criterion": new}] * 3))
    assert found.ratios["steps"].value == pytest.approx(1.5)
    with pytest.raises(NotComparableError, match=r"criterion.balance is 0.0 in the baseline and 0.5 in the test"):
        budget_speed_up(baseline, arm("c", changes=[{"criterion": other}] * 3))
    with pytest.raises(NotComparableError, match=r"model.weights_key is None in d05, ema in d10, None in d20"):
        budget_speed_up(arm("d", changes=[{}, {"model__weights_key": "ema"}, {}]), arm("e"))


def decays(unit, *starts):
    scheduler = {"_target_": "lic_exp.optimizers.stable_decay.StableDecay", "unit": unit}
    return [{"scheduler": scheduler | {"decay_from": start}} for start in starts]


def test_a_decay_that_begins_at_a_step_follows_the_length_and_a_share_of_it_does_not(arm):
    found = budget_speed_up(arm("a", changes=decays("step", 40, 80, 160)), arm("b", 1.5))
    assert found.ratios["steps"].value == pytest.approx(1.5)
    with pytest.raises(NotComparableError, match=r"scheduler.decay_from is 0.8 in c05, 0.8 in c10, 1.0 in c20"):
        budget_speed_up(arm("c", changes=decays("share", 0.8, 0.8, 1)), arm("b", 1.5))


def test_the_outcome_names_the_runs_of_the_arm_that_is_no_curve(arm):
    worse = arm("b", ends=[2.0, 2.5, 1.5])
    (outcome,) = budget_speed_up(arm("a"), worse).pairs["outcome"]
    assert outcome.startswith("not better with every larger budget")
    assert outcome.endswith("of the test, by steps: b05 (50), b10 (100), b20 (200)")
    single = arm("c", changes=({},), lengths=(5,))
    (outcome,) = budget_speed_up(single, arm("d")).pairs["outcome"]
    assert outcome == "two or more different budgets are needed, not 50: of the baseline, by steps: c05 (50)"


def test_another_unit_without_an_answer_leaves_the_ratio_in_steps(arm):
    """The longest run's batches were so small that it saw fewer images than the second."""
    staged = arm("b", changes=({}, {}, {"stages": [{"steps": 200, "data": {"batch_size": 1}}]}))
    found = budget_speed_up(arm("a"), staged)
    assert found.ratios["steps"].value == pytest.approx(1)
    assert str(found.ratios["images"]) == "unknown"
    (flag,) = [flag for flag in found.flags if ", images: " in flag]
    assert flag.startswith("seed 0, images: not better with every larger budget")
    assert flag.endswith("of the test, by images: b05 (400), b10 (800), b20 (200)")


def test_the_command_says_it(arm, tmp_path, capsys):
    arms = (arm("a"), arm("b", changes=({}, {}, {"optimizer__lr": 0.5})))
    named = [",".join(folder.name for folder in folders) for folders in arms]
    given = ["--budgets", "--baseline", named[0], "--test", named[1], f"--runs={tmp_path / 'runs'}"]
    assert main(["speedup", *given]) == 2
    said = capsys.readouterr().err
    assert "optimizer.lr is 0.002 in b05, 0.002 in b10, 0.5 in b20" in said
    assert main(["speedup", *given, "--trust", "optimizer.lr"]) == 0
