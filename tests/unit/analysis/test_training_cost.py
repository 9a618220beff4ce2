"""What a run had spent, against a simulation that makes the steps one by one and counts them."""

import json
import math
from itertools import accumulate

import numpy as np
import pytest
from run_folders import curve, write_run

from analysis.budgets import budget_speed_up
from analysis.errors import AnalysisError
from analysis.runs import load_runs
from analysis.speedup import speed_up
from analysis.training_cost import UNITS, trained_stages, trajectory
from lic_exp.tracking.run_folder import RunFolder

LOSS = "val/rd_loss"
MACS = 1500.0


def trained(stages, *, log_every=5, validate_every=10, images=None, by_interval_from=math.inf, uneven=0.0):
    """The entries of a run, and by validation what it had spent: counted step by step, as the loop makes them.

    stages: (steps, batch size, crop size, steps per epoch, seconds of a step) each.
    images: there are; then an epoch is as many full batches as they give.
    by_interval_from: the step from which on speeds are those since the entry before; until then since the validation.
    uneven: by what share of itself a step may take longer.
    """
    spent = dict.fromkeys(UNITS, 0.0)
    entries, counted, step, epoch = [], [], 0, 0
    total = sum(stage[0] for stage in stages)
    for steps, batch, crop, configured, seconds in stages:
        per_epoch = configured or max(1, images // batch)
        clock = since = 0.0
        for made in range(steps):
            if step == by_interval_from:
                clock = since = 0.0
            step += 1
            took = seconds * (1 + uneven * abs(math.sin(step)))
            for unit, cost in zip(UNITS, (1, 1 / per_epoch, batch, took, batch * crop**2 * MACS), strict=True):
                spent[unit] += cost
            clock, since = clock + took, since + 1
            at = {"step": step, "epoch": epoch + made // per_epoch, "time": 1e9 + step}
            if step % log_every == 0 or step == total:
                entries.append(at | {"train/lr": 0.001, "train/images_per_s": batch * since / clock})
                clock, since = (clock, since) if step <= by_interval_from else (0.0, 0.0)
            if step % validate_every == 0 or step == total:
                entries.append(at | {LOSS: 1 + 30 / (step + 20)})
                counted.append(dict(spent))
                clock, since = (0.0, 0.0) if step <= by_interval_from else (clock, since)
        epoch += math.ceil(steps / per_epoch)
    return entries, counted


def config_of(stages, **more):
    """The first stage is the run's own data, as in a config that says nothing of it again."""
    _, batch, crop, per_epoch, _ = stages[0]
    later = [
        {"steps": stage[0], "optimizer_state": "keep", "optimizer": {}, "scheduler": {}, "data": {}}
        | {"data": dict(zip(("batch_size", "crop_size", "steps_per_epoch"), stage[1:4], strict=True)) if place else {}}
        for place, stage in enumerate(stages)
    ]
    own = {"data__batch_size": batch, "data__crop_size": crop, "data__steps_per_epoch": per_epoch}
    return own | ({"stages": later} if len(stages) > 1 else {}) | more


@pytest.fixture
def write(tmp_path):
    def written(name, entries, by_interval_from=None, **changes):
        folder = write_run(tmp_path / "runs" / name, entries, **changes)
        if by_interval_from is not None:
            RunFolder(folder).update_status(interval_speeds_from=by_interval_from)
        numbers = {
            "parameters": 1,
            "macs_per_pixel": MACS,
            "encode_macs_per_pixel": None,
            "decode_macs_per_pixel": None,
        }
        (folder / "complexity.json").write_text(json.dumps(numbers | {"height": 256, "width": 256, "parts": []}))
        return folder

    return written


COURSES = {
    "no stages": [(60, 8, 64, 10, 0.5)],
    "smaller batches": [(40, 8, 64, 10, 1.0), (60, 2, 64, 10, 0.25)],
    "larger crops and batches": [(30, 4, 64, 15, 0.5), (30, 4, 128, 15, 2.0), (20, 16, 256, 4, 9.0)],
    "boundaries between validations": [(33, 8, 64, 10, 1.0), (19, 2, 32, 7, 0.125), (18, 4, 64, 10, 0.5)],
    "stages shorter than a validation": [(6, 8, 64, 10, 1.0), (7, 4, 64, 10, 0.75), (47, 2, 64, 10, 0.5)],
}


@pytest.mark.parametrize("stages", COURSES.values(), ids=COURSES)
@pytest.mark.parametrize("accumulate_parts", [1, 2])
def test_every_unit_is_what_a_count_step_by_step_gives(write, stages, accumulate_parts):
    entries, counted = trained(stages, log_every=1)
    more = {"trainer": {"accumulate": accumulate_parts}}
    runs = load_runs(write("aa", entries, **config_of(stages, **more)))
    spent = trajectory(runs, "aa", LOSS)
    for unit in UNITS:
        assert spent[unit] == pytest.approx([one[unit] for one in counted], rel=1e-9), unit


@pytest.mark.parametrize("log_every", [2, 5, 10])
def test_a_sparse_log_is_enough_where_the_speed_of_a_stage_is_even(write, log_every):
    stages = COURSES["smaller batches"]
    entries, counted = trained(stages, log_every=log_every)
    spent = trajectory(load_runs(write("aa", entries, **config_of(stages))), "aa", LOSS)
    assert spent["seconds"] == pytest.approx([one["seconds"] for one in counted])


@pytest.mark.parametrize("stages", COURSES.values(), ids=COURSES)
@pytest.mark.parametrize("log_every", [1, 2, 5])
@pytest.mark.parametrize("begun", [0, 20])
def test_speeds_of_intervals_add_up_whatever_each_step_took(write, stages, log_every, begun):
    """Also where an earlier version began the run, which logged the speed since the last validation."""
    entries, counted = trained(stages, log_every=log_every, by_interval_from=begun, uneven=0.8)
    runs = load_runs(write("aa", entries, begun, **config_of(stages)))
    spent = trajectory(runs, "aa", LOSS)["seconds"]
    ends = {sum(stage[0] for stage in stages[: place + 1]) for place in range(len(stages))}
    # Of steps between an entry and the end of a stage, or of what the former version did, no entry tells.
    exact = log_every == 1 or not any(end % log_every for end in ends)
    assert spent == pytest.approx([one["seconds"] for one in counted], rel=1e-9 if exact else 0.1)


def test_the_ratio_of_a_run_with_stages_is_that_of_what_was_done(write):
    """100 steps of 8 and 600 of 2 at 20 images/s are 100 s; the first stage's batches throughout would be 280 s."""
    staged = [(100, 8, 64, 10, 0.4), (600, 2, 64, 10, 0.1)]
    plain = [(700, 8, 64, 10, 0.4)]
    arms = [write(name, trained(stages)[0], **config_of(stages)) for name, stages in (("aa", plain), ("ab", staged))]
    row = speed_up(*arms, k=1).pairs.iloc[0]
    assert (row["baseline_seconds"], row["test_seconds"]) == pytest.approx((280, 100))
    assert (row["baseline_images"], row["test_images"]) == (5600, 2000)
    assert (row["seconds"], row["images"], row["macs"]) == pytest.approx((2.8, 2.8, 2.8))
    assert not [column for column in row.index if "pixels" in column]


@pytest.mark.parametrize("images", [63, 80, 96])
def test_epochs_of_stages_follow_from_the_log_where_they_are_not_configured(write, images):
    stages = [(60, 8, 64, None, 0.5), (200, 2, 64, None, 0.1)]
    entries, counted = trained(stages, log_every=1, images=images)
    spent = trajectory(load_runs(write("aa", entries, **config_of(stages))), "aa", LOSS)
    assert spent["epochs"] == pytest.approx([one["epochs"] for one in counted])


def test_macs_of_one_model_are_compared_by_pixels_where_nobody_counted_them(write):
    """Crops of half the side in the second half: 100 against 50 + 12.5 of everything."""
    staged = [(50, 8, 64, 10, 0.4), (50, 8, 32, 10, 0.1)]
    plain = [(100, 8, 64, 10, 0.4)]
    arms = [write(name, trained(stages)[0], **config_of(stages)) for name, stages in (("aa", plain), ("ab", staged))]
    for folder in arms:
        (folder / "complexity.json").unlink()
    assert speed_up(*arms, k=1).ratios["macs"].value == pytest.approx(100 / 62.5)


def test_budgets_are_those_of_the_stages(write):
    arms = []
    for name, second in (("a", 8), ("b", 2)):
        courses = [[(half, 8, 64, 10, 0.4), (half, second, 64, 10, 0.05 * second)] for half in (50, 100)]
        arms.append([write(f"{name}{i}", trained(course)[0], **config_of(course)) for i, course in enumerate(courses)])
    found = budget_speed_up(*arms)
    assert found.ratios["steps"].value == pytest.approx(1)
    for unit in ("images", "seconds", "macs"):
        assert found.ratios[unit].value == pytest.approx(16 / 10), unit


def test_an_extension_has_spent_what_its_parent_had(write, tmp_path):
    entries, counted = trained([(100, 8, 64, 10, 0.5)])
    parent = [entry for entry in entries if entry["step"] <= 60]
    child = [entry for entry in entries if entry["step"] > 60]
    folders = [write("aa", parent, **config_of([(60, 8, 64, 10, 0.5)]))]
    folders.append(write("ab", child, **config_of([(100, 8, 64, 10, 0.5)], parent="aa")))
    known = trajectory(load_runs(folders), "ab", LOSS)
    beside = trajectory(load_runs(folders[1:]), "ab", LOSS)
    for unit in UNITS:
        assert known[unit] == pytest.approx([one[unit] for one in counted[6:]]), unit
        assert list(beside[unit]) == list(known[unit]), unit
    folders[0].rename(tmp_path / "aa")
    alone = trajectory(load_runs(folders[1:]), "ab", LOSS)
    assert np.isnan(alone["seconds"]).all()
    assert list(alone["images"]) == [one["images"] for one in counted[6:]]


def test_a_parent_beside_may_have_one_itself_and_one_that_cannot_be_read_costs_nobody_knows_what(write):
    entries, counted = trained([(100, 8, 64, 10, 0.5)])
    parts = {"aa": (0, 40), "ab": (40, 60), "ac": (60, 100)}
    folders = {
        name: write(
            name,
            [entry for entry in entries if first < entry["step"] <= end],
            **config_of([(end, 8, 64, 10, 0.5)], parent=parent),
        )
        for (name, (first, end)), parent in zip(parts.items(), (None, "aa", "ab"), strict=True)
    }
    found = load_runs(folders["ac"])
    assert trajectory(found, "ac", LOSS)["seconds"] == pytest.approx([one["seconds"] for one in counted[6:]])
    assert list(found.runs["signature"]) == ["ac"]
    (folders["ab"] / "status.json").write_text("[")
    assert np.isnan(trajectory(load_runs(folders["ac"]), "ac", LOSS)["seconds"]).all()


def test_seconds_are_unknown_from_where_no_speed_was_logged(write):
    stages = COURSES["smaller batches"]
    entries, counted = trained(stages)
    kept = [entry for entry in entries if entry["step"] <= 40 or "train/images_per_s" not in entry]
    spent = trajectory(load_runs(write("aa", kept, **config_of(stages))), "aa", LOSS)["seconds"]
    assert list(spent[:4]) == pytest.approx([one["seconds"] for one in counted[:4]])
    assert np.isnan(spent[4:]).all()


def test_a_stage_of_another_source_has_the_options_of_that_alone(write):
    data = {"_target_": "my_package.Source", "batch_size": 2, "crop_size": 32, "steps_per_epoch": None}
    stages = [{"steps": 10}, {"steps": 10, "data": data}]
    (row,) = load_runs(write("aa", curve([2.0, 1.0]), stages=stages)).rows()
    assert [(one.batch_size, one.crop_size, one.steps_per_epoch) for one in trained_stages(row)] == [
        (8, 64, 10),
        (2, 32, None),
    ]
    assert list(accumulate(one.pixels for one in trained_stages(row))) == [8 * 64**2, 8 * 64**2 + 2 * 32**2]


@pytest.mark.parametrize("stages", [[{"data": {}}, {"steps": 1}], [1, 2], [{"steps": "many"}, {"steps": 1}]])
def test_stages_that_are_none_are_said(write, stages):
    runs = load_runs(write("aa", curve([2.0, 1.0]), stages=stages))
    with pytest.raises(AnalysisError, match="run aa: the stages of its config are none"):
        trajectory(runs, "aa", LOSS)


def test_crops_that_were_shown_smaller_cost_what_was_computed(write):
    """A quarter of the pixels up to step 40, all of them later, beside the same run at full size."""
    stages = [(100, 8, 64, 10, 0.4)]
    whole, counted = trained(stages)
    smaller = [
        entry | {"train/pixel_share": (min(entry["step"], 40) / 4 + max(entry["step"] - 40, 0)) / entry["step"]}
        if "train/lr" in entry
        else entry
        for entry in whole
    ]
    folders = [write("aa", whole, **config_of(stages)), write("ab", smaller, **config_of(stages))]
    spent = trajectory(load_runs(folders), "ab", LOSS)
    steps = spent["steps"]
    share = (np.minimum(steps, 40) / 4 + np.maximum(steps - 40, 0)) / steps
    assert spent["macs"] == pytest.approx([one["macs"] for one in counted] * share)
    for unit in ("steps", "epochs", "images", "seconds"):
        assert spent[unit] == pytest.approx([one[unit] for one in counted]), unit
    assert trajectory(load_runs(folders), "ab", LOSS, 10.0)["macs"] == pytest.approx(10 * spent["images"] * share)
    found = speed_up(*folders, k=1)
    assert found.ratios["steps"].value == pytest.approx(1)
    assert found.ratios["macs"].value == pytest.approx(100 / 70)


@pytest.mark.parametrize("counted", [True, False])
def test_a_second_look_at_each_batch_is_a_fourth_pass(write, counted):
    stages = [(100, 8, 64, 10, 0.4)]
    entries, spent = trained(stages)
    balanced = {"_target_": "lic_exp.training.balanced.BalancedMSE", "lmbda": 0.013}
    arms = [write("aa", entries, **config_of(stages)), write("ab", entries, **config_of(stages, criterion=balanced))]
    if counted:
        assert trajectory(load_runs(arms), "ab", LOSS)["macs"] == pytest.approx([4 / 3 * one["macs"] for one in spent])
    else:
        for folder in arms:
            (folder / "complexity.json").unlink()
    ratios = speed_up(*arms, k=1).ratios
    assert ratios["macs"].value == pytest.approx(3 / 4)
    assert ratios["images"].value == pytest.approx(1)


def test_a_criterion_of_a_package_that_is_not_here_looks_once(write):
    stages = [(20, 8, 64, 10, 0.4)]
    entries, counted = trained(stages)
    criterion = {"_target_": "nobodys_package.Criterion", "lmbda": 0.013}
    spent = trajectory(load_runs(write("aa", entries, **config_of(stages, criterion=criterion))), "aa", LOSS)
    assert spent["macs"] == pytest.approx([one["macs"] for one in counted])


def test_a_curriculum_that_begins_late_costs_all_before(write):
    stages = [(100, 8, 64, 10, 0.4)]
    entries = [
        entry | {"train/pixel_share": 1 - 0.75 * (entry["step"] - 50) / entry["step"]}
        if "train/lr" in entry and entry["step"] > 50
        else entry
        for entry in trained(stages)[0]
    ]
    spent = trajectory(load_runs(write("aa", entries, **config_of(stages))), "aa", LOSS)
    assert spent["macs"][[4, 9]] == pytest.approx(8 * 64**2 * MACS * np.array([50, 62.5]))


def test_a_branch_has_spent_what_its_trunk_had_up_to_there(write):
    entries, counted = trained([(100, 8, 64, 10, 0.5)])
    trunk = [entry for entry in entries if entry["step"] <= 80]
    branch = [entry for entry in entries if entry["step"] > 40]
    folders = [write("aa", trunk, **config_of([(80, 8, 64, 10, 0.5)]))]
    folders.append(write("ab", branch, **config_of([(100, 8, 64, 10, 0.5)], parent="aa", parent_step=40)))
    known = trajectory(load_runs(folders), "ab", LOSS)
    for unit in UNITS:
        assert known[unit] == pytest.approx([one[unit] for one in counted[4:]]), unit
