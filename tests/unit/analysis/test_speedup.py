"""Speed-ups of synthetic runs whose answer is known, and the runs that must not be compared."""

import math

import numpy as np
import pytest
from run_folders import IMAGES, OTHER_CODE, curve, write_run

from analysis.__main__ import main
from analysis.budgets import budget_speed_up, horizontal_shift
from analysis.comparable import NotComparableError
from analysis.errors import AnalysisError
from analysis.speedup import first_holding, speed_up
from analysis.statistics import t_interval

STEPS = 10.0 * np.arange(1, 41)
UNITS = ("steps", "epochs", "images", "seconds", "macs")


def falling(step):
    """A loss curve."""
    return 1 + 30 / (step + 20)


@pytest.fixture
def runs(tmp_path):
    """Writes runs by name: `runs(name, values, **changes)` returns the folder."""
    return lambda name, values, speed=100.0, lr=None, **changes: write_run(
        tmp_path / "runs" / name, curve(values, speed=speed, lr=lr), **changes
    )


@pytest.mark.parametrize("k", [1, 3, 5])
def test_a_series_holds_its_own_last_level(k):
    """The identity behind "the baseline's own crossing is 1.00x": for any noise there is one."""
    random = np.random.default_rng(0)
    for _ in range(300):
        values = np.exp(random.normal(size=random.integers(k, 12)))
        assert first_holding(values, values[-k:].mean(), k) is not None


def test_a_dip_does_not_hold():
    values = np.array([9.0, 8.0, 4.9, 8.0, 7.0, 4.0, 4.0, 4.0])
    assert first_holding(values, 5.0, 1) == pytest.approx(2 - 0.1 / 3.1)
    assert first_holding(values, 5.0, 3) == pytest.approx(5 - 1 / 3)
    assert first_holding(values, 3.9, 3) is None


def test_the_position_is_interpolated_and_bad_values_do_not_hold():
    assert first_holding(np.arange(10.0, 0.0, -1.0), 4.25, 2) == pytest.approx(5.75)
    assert first_holding(np.array([1.0, 1.0]), 5.0, 2) == 0.0
    assert first_holding(np.array([math.nan, 3.0, math.nan, 3.0, 3.0]), 5.0, 2) == 3.0
    assert first_holding(np.array([math.inf, 3.0]), 5.0, 2) == 1.0


def test_the_baseline_itself_is_one_in_every_unit(runs):
    noisy = falling(STEPS) + np.random.default_rng(1).normal(0, 0.02, len(STEPS))
    found = speed_up(runs("aa", noisy), runs("ab", noisy))
    assert {unit: found.ratios[unit].value for unit in UNITS} == dict.fromkeys(UNITS, 1.0)


@pytest.mark.parametrize("k", [1, 3, 6])
def test_a_run_twice_as_fast_is_2x(runs, k):
    found = speed_up(runs("aa", falling(STEPS)), runs("ab", falling(2 * STEPS), speed=50.0), k=k)
    for unit in ("steps", "epochs", "images", "macs"):
        assert found.ratios[unit].value == pytest.approx(2, rel=0.01)
    assert found.ratios["seconds"].value == pytest.approx(1, rel=0.01)
    assert str(found.ratios["steps"]) == "2.00x (one seed, no interval)"


def test_costs_are_those_of_training_alone(runs):
    """Two evaluations, one stretch at 80 images/s and one at 40: 80 images each; the entries' times play no part."""
    folder = runs("aa", [3.0, 1.0])
    entries = curve([3.0, 1.0])
    for entry, speed in zip(entries[::2], (80.0, 40.0), strict=True):
        entry["train/images_per_s"] = speed
    entries[2]["time"] = 2e9  # the run waited for thirty years before it was resumed
    write_run(folder, entries)
    row = speed_up(folder, runs("ab", [3.0, 1.0]), k=1, macs_per_image=(1e9, 2e9)).pairs.iloc[0]
    cost = {unit: row[f"baseline_{unit}"] for unit in UNITS}
    assert cost == {"steps": 20, "epochs": 2, "images": 160, "seconds": 3, "macs": 1.6e11}
    assert row["macs"] == 0.5


def test_epochs_follow_from_the_log_where_they_are_not_configured(runs):
    options = {"data__steps_per_epoch": None}
    row = speed_up(runs("aa", falling(STEPS), **options), runs("ab", falling(STEPS), **options)).pairs.iloc[0]
    assert row["baseline_epochs"] == pytest.approx(row["baseline_steps"] / 10, rel=0.02)


def test_macs_are_unknown_where_models_differ(runs):
    found = speed_up(runs("aa", falling(STEPS)), runs("ab", falling(STEPS), model__N=64))
    assert str(found.ratios["macs"]) == "unknown"
    assert found.ratios["steps"].value == 1.0


def test_seeds_are_paired_and_averaged_in_the_logarithm(runs):
    """Seeds of different levels, whose ratios agree with those of each pair alone."""
    factors = {0: 1.6, 1: 2.0, 2: 2.2}
    base = [runs(f"a{s}", (1 + s) * falling(STEPS), seed=s) for s in factors]
    test = [runs(f"b{s}", (1 + s) * falling(f * STEPS), seed=s) for s, f in factors.items()]
    logs = np.log([speed_up(a, b).ratios["steps"].value for a, b in zip(base, test, strict=True)])
    found = speed_up(base, test).ratios["steps"]
    assert found.value == pytest.approx(math.exp(logs.mean()))
    assert found.interval == pytest.approx(np.exp(t_interval(logs)))
    assert np.exp(logs) == pytest.approx(list(factors.values()), rel=0.02)


def test_rates_of_a_seed_are_one_value(runs):
    options = {0.01: 1.5, 0.05: 2.0}
    base = [runs(f"a{i}", falling(STEPS), criterion__lmbda=lmbda) for i, lmbda in enumerate(options)]
    test = [runs(f"b{i}", falling(f * STEPS), criterion__lmbda=lmbda) for i, (lmbda, f) in enumerate(options.items())]
    found = speed_up(base, test)
    assert (found.ratios["steps"].seeds, len(found.pairs)) == (1, 2)
    assert found.ratios["steps"].value == pytest.approx(math.sqrt(3), rel=0.02)
    with pytest.raises(NotComparableError, match=r"different lambda sets: criterion.lmbda is 0.01, 0.05 .* and 0.01"):
        speed_up(base, test[:1])


def test_a_run_that_never_gets_there_is_not_reached_and_no_number(runs):
    base = [runs(f"a{s}", falling(STEPS), seed=s) for s in range(2)]
    test = [runs("b0", falling(2 * STEPS)), runs("b1", falling(STEPS[:20]), seed=1, state="diverged")]
    found = speed_up(base, test)
    ratio = found.ratios["steps"]
    assert (ratio.value, ratio.interval, str(ratio)) == (None, None, "not reached (1/2 seeds)")
    assert list(found.pairs["outcome"]) == ["reached", "not reached: diverged at step 200"]
    assert math.isnan(found.pairs["steps"][1])


def test_the_level_before_the_decay_is_another_target(runs):
    """Both arms end alike after the decay, which hides that the test is twice as fast before it."""
    lr = np.where(STEPS <= 300, 0.001, 0.0001)
    ours, theirs = (np.where(STEPS <= 300, falling(f * STEPS), 1.01) for f in (1, 2))
    base, test = runs("aa", ours, lr=lr), runs("ab", theirs, lr=lr)
    assert speed_up(base, test).ratios["steps"].value == pytest.approx(1, abs=0.01)
    found = speed_up(base, test, target="before-decay")
    assert found.ratios["steps"].value == pytest.approx(2, rel=0.01)
    assert found.pairs["target"][0] == pytest.approx(falling(np.array([280, 290, 300])).mean())
    with pytest.raises(AnalysisError, match="aa0: its learning rate never falls below 90% of its maximum"):
        speed_up(runs("aa0", ours), test, target="before-decay")


def test_a_warm_up_is_no_decay(runs):
    lr = np.interp(STEPS, [10, 50, 300, 400], [0.0001, 0.001, 0.001, 0.0001])
    base = runs("aa", falling(STEPS), lr=lr)
    target = speed_up(base, base, target="before-decay", k=1).pairs["target"][0]
    assert target == pytest.approx(falling(310))


def test_sensitivity_to_the_target(runs):
    found = speed_up(runs("aa", falling(STEPS)), runs("ab", falling(2 * STEPS)))
    cells = {(row["k"], row["target"]): row["steps"] for row in found.sensitivity.to_dict("records")}
    assert set(cells) == {(k, scale) for k in (1, 3, 6) for scale in ("-1 %", "+0 %", "+1 %")}
    assert cells[3, "+0 %"] == found.ratios["steps"]
    assert str(cells[1, "-1 %"]) == "not held by the baseline itself (0/1 seeds)"
    assert cells[3, "+1 %"].value == pytest.approx(2, rel=0.05)


def test_a_target_may_be_a_number(runs):
    found = speed_up(runs("aa", falling(STEPS)), runs("ab", falling(2 * STEPS)), target=1.2)
    assert found.pairs["baseline_steps"][0] == pytest.approx(130)  # 1.2 = 1 + 30 / (130 + 20)
    assert found.pairs["test_steps"][0] == pytest.approx(65, rel=0.02)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"criterion__lmbda": 0.05}, r"lambda sets: criterion.lmbda is 0.013 in the baseline and 0.05"),
        (
            {"criterion___target_": "lic_exp.training.criterion.MSSSIM"},
            r"criteria: criterion._target_ is .*MSE .*MSSSIM",
        ),
        ({"data__val": ["other"]}, r"validation sets: data.val is \('photos/val',\) .* \('other',\)"),
        ({"data__val_crop_size": 64}, "validation sets: data.val_crop_size is None in the baseline and 64"),
        ({"data__image_seed": 1}, r"validation sets: data.image_seed is \(no such option\)"),
        ({"images": IMAGES.partition("NA")[0]}, "validation sets: of .* images by their evaluations"),
    ],
)
def test_runs_that_measure_other_things_are_refused(runs, changes, said):
    with pytest.raises(NotComparableError, match=said):
        speed_up(runs("aa", falling(STEPS), images=IMAGES), runs("ab", falling(STEPS), **changes))


def test_training_may_differ_and_places_may_be_trusted(runs):
    base = runs("aa", falling(STEPS))
    test = runs("ab", falling(STEPS), data__batch_size=16, data__val=["elsewhere"], optimizer__lr=0.1)
    assert speed_up(base, test, trusted=["data.val"]).ratios["images"].value == 0.5


def test_criteria_that_measure_the_same_are_compared(runs):
    """Whatever is minimised: the runs of a seed are one pair."""
    base = runs("aa", falling(STEPS))
    learnt = {"criterion___target_": "lic_exp.training.balanced.BalancedMSE", "criterion__share_lr": 0.025}
    found = speed_up(base, runs("ab", falling(2 * STEPS), **learnt))
    assert found.ratios["steps"].value == pytest.approx(2, rel=0.02)
    assert speed_up(runs("ac", falling(STEPS), **learnt), base).ratios["steps"].value is not None


def test_bad_arms_are_refused(runs, tmp_path):
    base = runs("aa", falling(STEPS))
    with pytest.raises(AnalysisError, match="aa1 is preempted, not done"):
        speed_up(runs("aa1", falling(STEPS), state="preempted"), base)
    with pytest.raises(AnalysisError, match="aa and aa2 are one arm's, of one seed and criterion"):
        speed_up([base, runs("aa2", falling(STEPS))], base)
    with pytest.raises(AnalysisError, match="no seed is in both arms"):
        speed_up(base, runs("ab1", falling(STEPS), seed=1))
    with pytest.raises(AnalysisError, match="ab2 extends aa"):
        speed_up(base, runs("ab2", falling(STEPS), parent="aa"))
    with pytest.raises(AnalysisError, match="k=50 evaluations is asked of a run with 40"):
        speed_up(base, base, k=50)
    with pytest.raises(AnalysisError, match="never logged val/rd_loss"):
        speed_up(base, write_run(tmp_path / "empty"))


def test_what_a_reader_should_know_is_flagged(runs):
    base = [runs(f"a{s}", falling(STEPS), seed=s) for s in range(2)]
    flags = speed_up(base, runs("b0", falling(STEPS))).flags
    assert flags[0] == "seed 1 is left out: incomplete in the test"


CODES = {
    "stale": (OTHER_CODE, (), "1 of 2 runs is stale, made by other code than there is now: b0"),
    "of an earlier form": (["0123456789abcdef"], (), "1 of 2 runs is of unknown code: b0"),
    "both stale": (OTHER_CODE, OTHER_CODE, "all runs are stale, made by other code than there is now: a0, b0"),
}


@pytest.mark.parametrize("which", CODES)
def test_runs_of_other_code_are_named_and_never_mixed_in_silence(runs, which):
    test, base, said = CODES[which]
    arms = (runs("a0", falling(STEPS), code=base or None), runs("b0", falling(STEPS), code=test))
    flags = speed_up(*arms).flags
    assert flags[0] == said
    assert any("mixes runs of different code" in flag for flag in flags) is (not base)


def test_a_commit_alone_makes_nothing_stale(runs):
    flags = speed_up(runs("a0", falling(STEPS)), runs("b0", falling(STEPS), commit="ffff")).flags
    assert not any("code" in flag for flag in flags)


def test_coarse_evaluations_are_flagged(runs):
    """A test that is there at once may be far faster; one that just gets there has not been seen to hold it."""
    base = runs("aa", falling(STEPS))
    assert speed_up(base, runs("ab", np.ones(40))).flags == (
        "run ab holds the target at its first evaluation: it may have got there long before",
    )
    late = speed_up(base, runs("ac", [*np.full(39, 3.0), 1.0]))
    assert late.flags == ("run ac holds the target over its last 1 evaluations only, k is 3",)
    assert speed_up(base, runs("ad", falling(2 * STEPS))).flags == ()


def test_horizontal_shift_is_exact_for_shifted_curves():
    cost = np.array([1.0, 2.0, 4.0, 8.0])
    level = 5 - np.log(cost) ** 0.8
    assert horizontal_shift(cost, level, cost / 1.5, level) == pytest.approx(math.log(1.5))
    line = 5 - np.log(cost)
    assert horizontal_shift(cost, line, cost[::-1], (line - 0.3)[::-1]) == pytest.approx(0.3)


@pytest.fixture
def budgets(runs):
    """Writes an arm of decayed runs of four lengths: final level 3 - 0.2 log(factor * steps)."""

    def arm(name, factor, seed=0, shift=0.0):
        lengths = (5, 10, 20, 40)
        ends = [3 + shift - 0.2 * math.log(factor * 10 * n) for n in lengths]
        return [
            runs(f"{name}{seed}{n}", np.linspace(9, end, n), lr=np.linspace(1, 0.01, n), seed=seed)
            for n, end in zip(lengths, ends, strict=True)
        ]

    return arm


def test_budgets_are_compared_by_the_shift_of_their_curves(budgets):
    base = [*budgets("a", 1.0), *budgets("a", 1.0, seed=1)]
    test = [*budgets("b", 1.5), *budgets("b", 2.0, seed=1)]
    found = budget_speed_up(base, test)
    assert list(found.pairs["steps"]) == pytest.approx([1.5, 2.0])
    assert found.ratios["steps"].value == pytest.approx(math.sqrt(3))
    assert found.ratios["steps"].interval == pytest.approx(np.exp(t_interval(np.log([1.5, 2.0]))))
    assert found.flags == ()


def test_budgets_without_an_answer_say_why(budgets, runs):
    base = budgets("a", 1.0)
    apart = budget_speed_up(base, budgets("b", 1.0, shift=1.0))
    assert apart.pairs["outcome"][0].startswith("no common level")
    assert apart.ratios["steps"].value is None
    worse = [*budgets("c", 1.0), runs("c99", np.linspace(9, 8, 80))]
    found = budget_speed_up(base, worse)
    assert found.pairs["outcome"][0].startswith("not better with every larger budget")
    assert found.flags == ("run c99 ended at 100% of its highest learning rate: not fully decayed",)


def test_the_command_prints_what_was_found(runs, budgets, tmp_path, capsys):
    folder = f"--runs={tmp_path / 'runs'}"
    runs("aa", falling(STEPS))
    runs("ab", falling(2 * STEPS), spectral_reg___target_="a.Regularizer")
    assert main(["speedup", "--baseline", "aa", "--test", "ab", folder]) == 0
    out = capsys.readouterr().out
    assert "2.00x (one seed, no interval)" in out
    assert "no level before the decay: aa: its learning rate never falls" in out
    assert main(["compare", "aa", "ab", folder]) == 0
    out = capsys.readouterr().out
    assert "a.Regularizer" in out
    assert "optimizer.lr" not in out
    names = (",".join(path.name for path in arm) for arm in (budgets("c", 1.0), budgets("d", 1.5)))
    assert main(["speedup", "--budgets", "--baseline", next(names), "--test", next(names), folder]) == 0
    assert "1.50x" in capsys.readouterr().out
    assert main(["speedup", "--baseline", "aa", "--test", "zz", folder]) == 2
    assert "there is no run zz" in capsys.readouterr().err
