"""A step that CUDA records and replays is the step that it stands for."""

import courses
import pytest
import torch
from courses import adam, assert_alike, cautious, made, sgd, shipped

from lic_exp.config.options import options
from lic_exp.training import stepper as stepper_module
from lic_exp.training.criterion import MSSSIM

SMALL = [name for name in options("model") if name.endswith("_tiny")]
BEGUN = {"start": 2, "ramp": 3, "unit": "step", "guard_every_steps": 5, "gradient_every_steps": None}
TERMS = {
    "intra": {"truncation_length": 0.5, "truncation_unit": "share"},
    "inter_cos": BEGUN,
    "inter_game": BEGUN,
    "inter_predict": BEGUN | {"refit_every_steps": 4},
}


@pytest.mark.parametrize("name", SMALL)
def test_of_every_small_model(name):
    """With another rate in the middle, a step that is left out, and quantiles or qualities where there are any."""
    eager, replayed = (made(shipped(name), how, bad=(4,), slower_at=6, steps=8) for how in (False, "graphs"))
    assert_alike(eager, replayed)
    assert (replayed.uncaptured, replayed.skipped, replayed.recorded) == ([], [4], [1])


@pytest.mark.parametrize("term", TERMS)
def test_of_every_kind_of_term(term):
    eager, replayed = (made(shipped("dhic_tiny", term, **TERMS[term]), how) for how in (False, "graphs"))
    assert_alike(eager, replayed)
    assert replayed.uncaptured == []


HOW = {
    "in parts": {"accumulate": 2},
    "in stages": {"new_stage_at": 5},
    "unclipped": {"clip_max_norm": None},
    "channels last": {"channels_last": True},
    "by momentum": {"factory": sgd},
    "cautiously": {"factory": cautious, "new_stage_at": 5},
}


@pytest.mark.parametrize("how", HOW)
def test_with_parts_stages_and_others(how):
    eager, replayed = (made(shipped("hyperprior_tiny"), one, **HOW[how]) for one in (False, "graphs"))
    assert_alike(eager, replayed)
    assert (replayed.uncaptured, set(replayed.recorded)) == ([], {1})


def test_of_ms_ssim():
    of = [shipped("factorized_tiny", criterion=MSSSIM(lmbda=8.0)) for _ in range(2)]
    eager, replayed = (made(one, how, side=176, steps=6) for one, how in zip(of, (False, "graphs"), strict=True))
    assert_alike(eager, replayed)
    assert (replayed.uncaptured, replayed.recorded) == ([], [1])


@pytest.mark.parametrize("name", ["dhic_tiny", "hpcm_tiny", "cheng2020_attention_tiny"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_halved_precision_stays_finite(name, precision):
    course = made(shipped(name), "graphs", precision=precision, steps=5)
    assert torch.tensor(course.losses).isfinite().all()
    assert course.end.isfinite().all()
    assert course.uncaptured == []
    assert course.recorded == [int(precision == "bf16")]


def test_every_replay_has_noise_of_its_own(monkeypatch):
    """The images and weights of all steps are the same here, so that nothing else can tell their losses apart."""
    monkeypatch.setattr(courses, "image", lambda step, side, image=courses.image: image(0, side))
    still = [made(shipped("hyperprior_tiny"), how, bad=(), steps=6, factory=_standing) for how in (False, "graphs")]
    for course in still:
        assert len(set(course.losses)) == 6
    assert still[0].losses == pytest.approx(still[1].losses, rel=1e-5)


def _standing(groups):
    return adam([group | {"lr": 0.0} for group in groups])


@pytest.mark.parametrize("broken", ["a value is asked for", "something is fetched", "its author is wrong"])
def test_a_capture_that_fails_is_said_and_leaves_nothing_behind(monkeypatch, caplog, broken):
    eager = made(shipped("hyperprior_tiny"), False)
    clip = stepper_module.clip_gradients

    def breaking(*arguments):
        norms = clip(*arguments)
        if torch.cuda.is_current_stream_capturing():
            if broken == "a value is asked for":
                float(norms["net"])
            elif broken == "something is fetched":
                torch.rand(1000).to("cuda")
            else:
                raise ValueError("an error of Python's")
        return norms

    with monkeypatch.context() as patch:
        patch.setattr(stepper_module, "clip_gradients", breaking)
        tried = made(shipped("hyperprior_tiny"), "graphs")
    assert tried.uncaptured == [0]
    said = "an error of Python's" if broken == "its author is wrong" else "captur"  # as versions say
    assert said in caplog.text
    assert_alike(eager, tried)
    assert torch.rand(3, device="cuda").isfinite().all()
    assert _memory_kept_after_use_by_two_streams() == 0
    again = made(shipped("hyperprior_tiny"), "graphs")
    assert_alike(eager, again)
    assert (again.uncaptured, again.recorded) == ([], [1])


def _memory_kept_after_use_by_two_streams() -> int:
    """Bytes. What side streams have used is given back once they are done with it, unless a capture is under way."""
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(4):
        torch.empty(2**20, device="cuda").record_stream(side)
    torch.cuda.synchronize()
    torch.empty(1, device="cuda")  # when the next is asked for
    return torch.cuda.memory_allocated() - before
