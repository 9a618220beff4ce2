"""When the batch is truncated, by how much, and when it must pass untouched."""

import itertools
import math
from pathlib import Path

import pytest
import torch
import yaml

from lic_exp.ops.dct import frequency_mask, truncate
from lic_exp.spectral_reg.base import Progress
from lic_exp.spectral_reg.intra_scale import IntraScale
from lic_exp.spectral_reg.pictures import moments, progression_figure
from lic_exp.spectral_reg.schedules import SCHEDULES, Window
from lic_exp.tracking import names

CONF = Path(__file__).parents[3] / "conf/spectral_reg"
PAPER = {
    "tau_init": 0.05,
    "tau_final": 1.0,
    "schedule": "linear",
    "truncation_length": 100,
    "truncation_unit": "epoch",
    "truncation_start": 0,
    "mask": "soft",
    "target": "truncated",
}


def build(**changes) -> IntraScale:
    return IntraScale(**{**PAPER, **changes})


def at(regularizer: IntraScale, step: int = 0, epoch: int = 0, share: float = 0.0) -> IntraScale:
    regularizer.set_progress(Progress(step=step, epoch=epoch, share=share))
    return regularizer


def tau_of(regularizer: IntraScale) -> float:
    return regularizer.scalars()[names.SPECTRAL_TAU]


def is_active(regularizer: IntraScale) -> bool:
    """Whether the batch is changed, checked against the reported phase and the identity of the tensors."""
    x, target = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    x_out, target_out = regularizer.transform_batch(x, target)
    untouched = x_out is x and target_out is target
    assert regularizer.scalars()[names.SPECTRAL_PHASE] == names.PHASES["baseline" if untouched else "phase1_intra"]
    return not untouched


def test_yaml_holds_the_paper():
    options = yaml.safe_load(CONF.joinpath("intra.yaml").read_text())
    assert options.pop("_target_") == f"{IntraScale.__module__}.{IntraScale.__qualname__}"
    assert options == PAPER


def test_none_is_no_component():
    assert yaml.safe_load(CONF.joinpath("none.yaml").read_text()) == {"_target_": None}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_meet_their_ends_exactly_and_rise(name):
    schedule = SCHEDULES[name]
    taus = [schedule(k / 100, 0.05, 0.9) for k in range(101)]
    assert taus[0] == 0.05
    assert taus[-1] == (0.05 if name == "constant" else 0.9)
    assert taus == sorted(taus)


def test_schedules_between_the_ends():
    assert SCHEDULES["linear"](0.5, 0.05, 1.0) == pytest.approx(0.525)
    assert SCHEDULES["cosine"](0.5, 0.05, 1.0) == pytest.approx(0.525)
    assert SCHEDULES["cosine"](0.25, 0.0, 1.0) == pytest.approx((1 - math.sqrt(0.5)) / 2)
    assert SCHEDULES["exponential"](0.5, 0.04, 1.0) == pytest.approx(0.2), "the geometric mean"
    assert SCHEDULES["constant"](0.5, 0.05, 1.0) == 0.05


@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_a_counted_stage_has_tau_final_in_its_last_and_is_off_after(unit):
    regularizer = build(truncation_unit=unit)
    assert tau_of(at(regularizer, **{unit: 0})) == 0.05
    assert is_active(regularizer)
    assert tau_of(at(regularizer, **{unit: 33})) == pytest.approx(0.05 + 0.95 / 3)
    assert tau_of(at(regularizer, **{unit: 99})) == 1.0
    assert is_active(regularizer), "at tau = 1 the soft mask is not the identity"
    assert not is_active(at(regularizer, **{unit: 100}))
    assert tau_of(regularizer) == 1.0


@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_the_other_counts_do_not_matter(unit):
    now = {"step": 12345, "epoch": 678, "share": 0.9, unit: 50}
    assert tau_of(at(build(truncation_unit=unit), **now)) == pytest.approx(0.05 + 0.95 * 50 / 99)


def test_a_late_stage_leaves_the_batch_alone_before_it():
    regularizer = build(truncation_start=10, truncation_length=5)
    assert [is_active(at(regularizer, epoch=epoch)) for epoch in (0, 9, 10, 14, 15)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert tau_of(at(regularizer, epoch=9)) == 1.0
    assert tau_of(at(regularizer, epoch=10)) == 0.05
    assert tau_of(at(regularizer, epoch=14)) == 1.0


def test_a_stage_of_one_epoch_has_tau_init():
    regularizer = build(truncation_length=1)
    assert tau_of(at(regularizer, epoch=0)) == 0.05
    assert not is_active(at(regularizer, epoch=1))


def test_share_is_continuous():
    regularizer = build(truncation_unit="share", truncation_start=0.2, truncation_length=0.5)
    assert not is_active(at(regularizer, share=0.199))
    assert tau_of(at(regularizer, share=0.2)) == 0.05
    assert tau_of(at(regularizer, share=0.45)) == pytest.approx(0.525)
    assert tau_of(at(regularizer, share=0.7 - 1e-9)) == pytest.approx(1.0)
    assert not is_active(at(regularizer, share=0.7))


def test_share_may_fill_the_training_to_its_end():
    for tenths in range(10):
        regularizer = build(truncation_unit="share", truncation_start=tenths / 10, truncation_length=1 - tenths / 10)
        assert is_active(at(regularizer, share=1 - 1e-6))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"truncation_unit": "share"}, r"truncation_length=100 is no share .*\(0, 1\].*truncation_unit=epoch"),
        (
            {"truncation_unit": "share", "truncation_length": 0.6, "truncation_start": 0.5},
            r"truncation_start=0.5 \+ truncation_length=0.6 is past the end.*at most 1",
        ),
        ({"truncation_length": 2.5}, r"truncation_length=2.5 must be whole numbers of epochs.*truncation_unit=share"),
        ({"truncation_unit": "step", "truncation_start": 0.5}, r"truncation_start=0.5 .*whole numbers of steps"),
        ({"truncation_length": 0}, r"truncation_length=0 are no window.*length above 0"),
        ({"truncation_start": -1}, r"truncation_start=-1 .*start must be at least 0"),
    ],
)
def test_impossible_stages_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_truncated_target_is_the_truncated_input():
    x = torch.rand(2, 3, 32, 32)
    x_low, target = at(build(), epoch=20).transform_batch(x, x)
    assert target is x_low
    assert torch.equal(x_low, truncate(x, 0.05 + 0.95 * 20 / 99, "soft"))


def test_a_target_of_its_own_is_truncated_by_itself():
    x, target = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    _, target_low = build().transform_batch(x, target)
    assert torch.equal(target_low, truncate(target, 0.05, "soft"))


def test_full_target_is_left_alone():
    x = torch.rand(2, 3, 32, 32)
    x_low, target = build(target="full").transform_batch(x, x)
    assert target is x
    assert torch.equal(x_low, truncate(x, 0.05, "soft"))


def test_inactive_in_eval():
    x, target = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    x_out, target_out = build().eval().transform_batch(x, target)
    assert x_out is x
    assert target_out is target


def test_hard_mask_keeps_low_frequencies_as_they_are():
    x = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    once, _ = build(mask="hard", tau_init=0.3).transform_batch(x, x)
    assert torch.equal(once, truncate(x, 0.3, "hard"))
    twice, _ = build(mask="hard", tau_init=0.3).transform_batch(once, once)
    torch.testing.assert_close(twice, once, rtol=0, atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_identity_end_goes_from_equation_4_to_all_ones_without_a_jump(schedule):
    regularizer = build(mask="identity_end", schedule=schedule)

    def mask(position):
        return frequency_mask(24, 16, regularizer.truncation.cutoff(position), regularizer.truncation.mask_shape)

    assert torch.equal(mask(0.0), frequency_mask(24, 16, 0.05, "soft"))
    assert (mask(1.0) == 1).all()
    near_end = mask(1 - 1e-9)
    torch.testing.assert_close(near_end, torch.ones_like(near_end), rtol=0, atol=1e-7)
    masks = [mask(k / 1000) for k in range(1001)]
    jumps = [(b - a).abs().max().item() for a, b in itertools.pairwise(masks)]
    assert max(jumps) < 0.05


def test_identity_end_passes_the_very_tensors_in_its_last_epoch():
    regularizer = at(build(mask="identity_end"), epoch=99)
    x = torch.rand(1, 3, 16, 16)
    x_out, target_out = regularizer.transform_batch(x, x)
    assert x_out is x
    assert target_out is x
    assert regularizer.scalars() == {names.SPECTRAL_TAU: 1.0, names.SPECTRAL_PHASE: 1}


def test_a_resumed_run_continues_exactly():
    history = build()
    for epoch in range(41):
        at(history, epoch=epoch, step=7 * epoch)
    resumed = at(build(), epoch=40, step=280)
    assert resumed.state_dict() == {}
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(resumed.transform_batch(x, x)[0], history.transform_batch(x, x)[0])


def test_computed_in_float32_under_autocast():
    regularizer, x = build(), torch.rand(2, 3, 64, 64)
    expected, _ = regularizer.transform_batch(x, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = regularizer.transform_batch(x, x)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("stage", "labels"),
    [
        (Window(0, 100, "epoch"), ["epoch 0", "epoch 25", "epoch 50", "epoch 74", "epoch 99"]),
        (Window(10, 2, "step"), ["step 10", "step 11"]),
        (Window(0, 1, "epoch"), ["epoch 0"]),
        (Window(0.2, 0.5, "share"), [f"{share} % of training" for share in ("20", "32.5", "45", "57.5", "70")]),
    ],
)
def test_moments_are_inside_the_stage(stage, labels):
    drawn = moments(stage)
    assert [moment.label for moment in drawn] == labels
    assert all(0 <= moment.position <= 1 for moment in drawn)


@pytest.mark.parametrize("changes", [{}, {"truncation_length": 1}, {"mask": "identity_end", "truncation_length": 3}])
def test_pictures_are_written(tmp_path, changes):
    photo = torch.rand(3, 24, 40)
    written = build(**changes).write_pictures(photo, tmp_path / "pictures")
    assert [path.name for path in written] == ["radial_masks.png", "frequency_truncation_progression.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


AFTER = "after the stage: full spectrum"


@pytest.mark.parametrize(
    ("changes", "run", "drawn"),
    [
        ({}, Progress(2000, 200, 1.0), ["epoch 0", "epoch 25", "epoch 50", "epoch 74", "epoch 99", AFTER]),
        ({}, Progress(1000, 100, 1.0), ["epoch 0", "epoch 25", "epoch 50", "epoch 74", "epoch 99"]),
        ({}, Progress(80, 20, 1.0), ["epoch 0", "epoch 5", "epoch 10", "epoch 14", "epoch 19"]),
        ({}, Progress(5, 1, 1.0), ["epoch 0"]),
        ({"truncation_unit": "step"}, Progress(4, 1, 1.0), ["step 0", "step 1", "step 2", "step 3"]),
        ({"truncation_unit": "step", "truncation_length": 2}, Progress(4, 1, 1.0), ["step 0", "step 1", AFTER]),
        ({"truncation_start": 8}, Progress(80, 8, 1.0), ["full spectrum: training ends before the stage"]),
        (
            {"truncation_unit": "share", "truncation_length": 1},
            Progress(80, 8, 1.0),
            [f"{share} % of training" for share in (0, 25, 50, 75, 100)],
        ),
    ],
)
def test_pictures_show_what_this_run_will_do(tmp_path, changes, run, drawn):
    regularizer = build(**changes)
    regularizer.set_end(run)
    figure = progression_figure(regularizer.truncation, torch.rand(3, 8, 8), regularizer.end)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert [title.partition(", ")[0] for title in titles] == drawn
    written = regularizer.write_pictures(torch.rand(3, 8, 8), tmp_path)
    assert ("radial_masks.png" in [path.name for path in written]) is (len(drawn) > 1 or drawn == ["epoch 0"])


def test_pictures_refuse_a_batch(tmp_path):
    with pytest.raises(ValueError, match=r"shape \(3, H, W\), not \(1, 3, 8, 8\)"):
        build().write_pictures(torch.rand(1, 3, 8, 8), tmp_path)
    assert not list(tmp_path.iterdir())
