"""A resolution curriculum: when the batch is how large, what that leaves untouched, and what is counted."""

from pathlib import Path

import pytest
import torch
import yaml
from training_parts import Noisy, everything, loader, objective, scales_objective, stage, step_options, trainer, unequal
from whole_trainings import FACTORIES

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.progress import Progress
from lic_exp.shown_sides import shown_side
from lic_exp.spectral_reg.resolution import Resolution
from lic_exp.spectral_reg.size_picture import PICTURE
from lic_exp.tracking import names
from lic_exp.training.preempted import Preempted
from lic_exp.training.rng import seed_everything

CONF = Path(__file__).parents[3] / "conf/spectral_reg/resolution.yaml"
STEPS = 12


def build(**changes) -> Resolution:
    usual = {key: value for key, value in yaml.safe_load(CONF.read_text()).items() if key != "_target_"}
    return Resolution(**usual | changes)


def halved(**changes) -> Resolution:
    """Half the sides for the first six steps."""
    return build(**{"length": 6, "unit": "step"} | changes)


def made(folder, regularizer, *, stop_after=None, **changes):
    of = scales_objective(regularizer)
    holder = []
    holder.append(
        trainer(
            folder,
            of,
            [stage(of, STEPS, batches=loader(batch_size=4, crop_size=32))],
            should_stop=lambda: "asked" if holder[0].step == stop_after else None,
            **changes,
        )
    )
    return holder[0]


def fitted(folder, regularizer, **how):
    run = made(folder, regularizer, **how)
    run.fit()
    return run


def sizes_of(run) -> list[tuple[int, int]]:
    """Of what the codec is given in each step."""
    found = []

    def noted(codec, inputs):
        if codec.training and torch.is_grad_enabled():
            found.append(tuple(inputs[0].shape[-2:]))

    run.objective.codec.register_forward_pre_hook(noted)
    run.fit()
    return found


@pytest.mark.parametrize(
    ("side", "full", "factor", "wanted"),
    [
        (0.5, 128, 64, 64),
        (0.75, 256, 64, 192),
        (0.01, 128, 64, 64),
        (0.7, 128, 16, 96),
        (1.0, 100, 64, 100),
        (0.9, 100, 64, 64),
        (0.99, 130, 64, 128),
    ],
)
def test_a_side_is_the_nearest_multiple_of_the_codec_s_factor(side, full, factor, wanted):
    assert shown_side(side, full, factor) == wanted


def test_sizes_rise_along_the_schedule_and_end_whole(tmp_path):
    run = made(tmp_path, build(side_init=0.25, schedule="linear", length=0.75))
    sizes = sizes_of(run)
    assert sizes[0] == (8, 8)
    assert sizes == sorted(sizes)
    assert sizes[9:] == [(32, 32)] * 3
    assert {side for side, _ in sizes} == {8, 16, 24, 32}


@pytest.mark.parametrize("unit", ["step", "share", "epoch"])
def test_units(unit):
    regularizer = build(length={"step": 4, "share": 0.5, "epoch": 2}[unit], unit=unit)
    regularizer.factor = 8
    x = torch.rand(2, 3, 16, 16)
    sides = []
    for step in range(8):
        regularizer.set_progress(Progress(step=step, epoch=step // 2, share=step / 8))
        sides.append(regularizer.transform_batch(x, x)[0].shape[-1])
        assert regularizer.scalars() == {names.SPECTRAL_SIDE: 0.5 if step < 4 else 1.0}
    assert sides == 4 * [8] + 4 * [16]


def test_input_and_target_are_resampled_alike_and_eval_sees_all():
    regularizer = build(method="area")
    x, target = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    small, small_target = regularizer.transform_batch(x, target)
    assert (small - torch.nn.functional.avg_pool2d(x, 2)).abs().max() < 1e-6
    assert small_target.shape == small.shape
    assert not torch.equal(small, small_target)
    same, also = regularizer.transform_batch(x, x)
    assert same is also
    regularizer.eval()
    assert regularizer.transform_batch(x, target) == (x, target)


def test_a_curriculum_at_full_size_is_none(tmp_path):
    full = fitted(tmp_path / "full", build(side_init=1.0, length=1.0))
    none = fitted(tmp_path / "none", None)
    assert unequal(full.objective.codec.state_dict(), none.objective.codec.state_dict()) == []
    assert not [entry for entry in full.reporter.entries if names.TRAIN_PIXEL_SHARE in entry]


@pytest.mark.parametrize("at", [3, 6, 8])
def test_resumed_in_mid_schedule_it_has_the_same_bits_and_counts(tmp_path, at):
    straight = fitted(tmp_path / "straight", halved(), ema_decay=0.9)
    first = made(tmp_path / "again", halved(), stop_after=at, ema_decay=0.9)
    second = made(tmp_path / "again", halved(), ema_decay=0.9)
    with pytest.raises(Preempted):
        first.fit()
    second.reporter = first.reporter
    seed_everything(99)
    assert second.resume()
    second.fit()
    assert unequal(everything(straight), everything(second)) == []
    assert straight.reporter.timeless() == second.reporter.timeless()


def test_parts_of_a_batch_have_the_gradient_of_the_whole(tmp_path):
    def trained(accumulate):
        of = objective(regularizer=halved())
        of.codec = Noisy()
        of.spectral_regularizers()[0].attach(of.codec)
        parts = [stage(of, STEPS, batches=loader(batch_size=4, crop_size=32), factory=FACTORIES["sgd"])]
        run = trainer(tmp_path / str(accumulate), of, parts, stepping=step_options(accumulate=accumulate))
        run.fit()
        return run

    whole, parts = trained(1), trained(2)
    for name, weight in whole.objective.codec.state_dict().items():
        assert (weight - parts.objective.codec.state_dict()[name]).abs().max() < 1e-6, name
    assert parts.pixels.state_dict() == whole.pixels.state_dict()


def test_stages_of_other_crops_follow_the_whole_training(tmp_path):
    of = scales_objective(build(length=0.5, unit="share"))
    stages = [stage(of, 4), stage(of, 8, batches=loader(batch_size=2, crop_size=32))]
    assert sizes_of(trainer(tmp_path, of, stages)) == 4 * [(8, 8)] + 2 * [(16, 16)] + 6 * [(32, 32)]


def test_what_was_computed_is_counted(tmp_path):
    run = fitted(tmp_path, halved())
    shares = [entry[names.TRAIN_PIXEL_SHARE] for entry in run.reporter.entries if names.TRAIN_PIXEL_SHARE in entry]
    assert shares == pytest.approx([0.25] * 6 + [(6 / 4 + more) / (6 + more) for more in range(1, 7)])
    assert run.pixels.state_dict() == {"loaded": STEPS * 4 * 32**2, "computed": 6 * 4 * (32**2 + 16**2)}


def test_the_step_that_is_tried_beforehand_is_of_the_whole_batch_too(tmp_path):
    sizes, run = [], made(tmp_path, halved())
    run.objective.codec.register_forward_pre_hook(lambda codec, inputs: sizes.append(inputs[0].shape[-1]))
    run.rehearse()
    assert (sizes[0], sizes[-1]) == (16, 32)
    assert run.pixels.scalars() == {}


def test_a_checkpoint_of_an_earlier_version_counts_nothing_before(tmp_path):
    run = made(tmp_path, halved())
    state = run.state_dict()
    del state["pixels"]
    run.load_state_dict(state)
    assert run.pixels.scalars() == {}


def test_the_picture_shows_each_size_once(tmp_path):
    regularizer = build(side_init=0.25, schedule="linear")
    regularizer.factor = 8
    regularizer.set_end(Progress(step=100, epoch=4, share=1.0))
    (picture,) = regularizer.write_pictures(torch.rand(3, 32, 48), tmp_path)
    assert picture == tmp_path / PICTURE
    assert picture.stat().st_size > 5000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 1.2}, "length=1.2 is no share"),
        ({"unit": "step", "length": 2.5}, "must be whole numbers of steps"),
        ({"start": 0.5, "length": 0.6}, "past the end of the training"),
    ],
)
def test_windows_that_are_none_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model=hpcm_tiny", "criterion=mse"],
            r"crop_size=128 is all of them.*data\.crop_size=256",
        ),
        (
            ["spectral_reg.side_init=0.9"],
            r"crop_size=128 is all of them.*data\.crop_size=320",
        ),
        (
            ["model=hyperprior_tiny", "criterion=ms_ssim", "data.crop_size=192", "data.val_crop_size=192"],
            "of data.crop_size=192 it shows 128 pixels, and this criterion needs at least 161",
        ),
        (
            ["data.crop_size=256", "stages=[{steps: 5}, {steps: 5, data: {crop_size: 64}}]", "trainer.max_steps=null"],
            "sides of data.crop_size=64 is all of them",
        ),
    ],
)
def test_sizes_that_are_none_or_too_small_are_refused_beforehand(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config(["spectral_reg=resolution", *overrides])
