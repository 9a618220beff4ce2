"""The paper's two stages: which is on when, by which options, and that both do what they do alone."""

import pytest
import torch
import toy
from training_parts import ThreeScales

import lic_exp
from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.instantiation import instantiate
from lic_exp.config.overrides import parse
from lic_exp.config.signing import signed_part
from lic_exp.config.validation import validate
from lic_exp.progress import Progress
from lic_exp.spectral_reg.inter_scale import InterScale
from lic_exp.spectral_reg.intra_scale import IntraScale
from lic_exp.spectral_reg.two_stage import TwoStage
from lic_exp.tracking import names


def composed(*overrides):
    return validate(compose(parse(["spectral_reg=both", *overrides])), rules_too=False)


def built(*overrides):
    """The regularizer, attached."""
    regularizer = instantiate(composed(*overrides).spectral_reg.component, "spectral_reg")
    regularizer.attach(ThreeScales())
    return regularizer.train()


def seen(regularizer, epoch=0, step=0, share=0.0):
    """Phase, whether the batch is truncated, whether there is a penalty."""
    regularizer.set_progress(Progress(step, epoch, share))
    x = torch.rand(2, 3, 16, 16)
    changed, _ = regularizer.transform_batch(x, x)
    penalty = regularizer.penalty(ThreeScales()(x))
    return regularizer.scalars()[names.SPECTRAL_PHASE], changed is not x, penalty is not None


def test_one_stage_follows_the_other():
    regularizer = built()
    assert isinstance(regularizer.intra, IntraScale)
    assert isinstance(regularizer.inter, InterScale)
    assert seen(regularizer, epoch=99) == (1, True, False)
    assert seen(regularizer, epoch=100) == (2, False, True)


def test_they_may_overlap_in_any_unit():
    for unit, (before, both, after) in {"step": (4, 5, 10), "share": (0.4, 0.5, 1 - 1e-9)}.items():
        length, overlap = (10, 5) if unit == "step" else (0.9, 0.4)
        regularizer = built(
            f"spectral_reg.intra.truncation_unit={unit}",
            f"spectral_reg.intra.truncation_length={length}",
            f"spectral_reg.overlap={overlap}",
            "spectral_reg.inter.ramp=0.2" if unit == "share" else "spectral_reg.inter.ramp=2",
        )
        assert seen(regularizer, **{unit: before}) == (1, True, False)
        assert seen(regularizer, **{unit: both}) == (2, True, True)
        assert seen(regularizer, **{unit: after}) == (2, False, True)


def test_in_eval_both_are_absent():
    regularizer = built("spectral_reg.overlap=100").eval()
    assert seen(regularizer)[1:] == (False, False)


def test_parts_take_their_own_overrides():
    node = composed("spectral_reg.intra.tau_init=0.1", "spectral_reg.inter.delta=0.2").spectral_reg
    assert (node.options["intra"].options["tau_init"], node.options["inter"].options["delta"]) == (0.1, 0.2)
    cosine = validate(compose(parse(["spectral_reg=both_cos"])), rules_too=False).plain()["spectral_reg"]
    alone = validate(compose(parse(["spectral_reg=inter_cos"])), rules_too=False).plain()["spectral_reg"]
    assert cosine["inter"] == alone | {"start": None}
    assert lic_exp.create_regularizer("both", overlap=30).inter.onset.start == 70


@pytest.mark.usefixtures("toy_folder")
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("spectral_reg.intra.tau_init=2", "spectral_reg.intra.tau_init=2: should be less than or equal to 1"),
        (
            "spectral_reg.inter.metri=cos",
            "spectral_reg.inter.metri: there is no such key. Did you mean spectral_reg.in",
        ),
        ("spectral_reg.tau_init=0.1", "there is no such key. Did you mean spectral_reg.intra.tau_init?"),
        ("spectral_reg.inter=3", "spectral_reg.inter=3: should be a component, with a _target_ and its options"),
        ("spectral_reg.overlap=101", "overlap=101.0 is longer than the first stage"),
        ("spectral_reg.inter.start=80", "spectral_reg: inter.start=80.0: after an intra-scale stage the term begins"),
        ("spectral_reg.inter.unit=step", "inter.unit=step must be intra.truncation_unit=epoch"),
        ("spectral_reg.inter.bound=hinge", "spectral_reg.inter: bound=hinge needs bound_at"),
        (
            "spectral_reg.intra.truncation_length=2.5",
            "spectral_reg.intra: truncation_start=0.0 and truncation_length=2.",
        ),
        ("spectral_reg.inter.ramp=0.5", "spectral_reg.inter: start=0 and ramp=0.5 must be whole numbers of epochs"),
        ("trainer.compile=true", "spectral_reg.inter.gradient_every_steps=100: a compiled codec hides the gradient"),
        ("spectral_reg=inter spectral_reg.start=null", "spectral_reg.start=null: give the epoch, step or share"),
        ("spectral_reg=inter spectral_reg.detach=conv spectral_reg.conv=adversarial", "learns from a loss of its own"),
    ],
)
def test_refusals(overrides, message):
    pyramid = [f"plugins=[{toy.NAME}]", "model=toy_pyramid"]
    assert validate(compose(parse([*pyramid, "spectral_reg=both"])))
    with pytest.raises(ConfigError) as error:
        validate(compose(parse([*pyramid, "spectral_reg=both", *overrides.split()])))
    assert any(message in found for found in error.value.messages), error.value.messages


def test_a_part_that_is_another_component_is_refused():
    inter = lic_exp.create_regularizer("inter")
    with pytest.raises(ValueError, match="intra must be of IntraScale, not of InterScale"):
        TwoStage(intra=inter, inter=inter, overlap=0)


def test_a_second_stage_that_would_never_begin_is_refused():
    whole = {"truncation_unit": "share", "truncation_length": 1.0}
    intra = lic_exp.create_regularizer("intra", **whole)
    inter = lic_exp.create_regularizer("both", overlap=1).inter
    inter.start, inter.unit = None, "share"
    with pytest.raises(ValueError, match="so that the second would never begin"):
        TwoStage(intra=intra, inter=inter, overlap=0)
    assert TwoStage(intra=intra, inter=inter, overlap=0.5).inter.onset.start == 0.5


def test_parts_are_signed():
    changes = ["spectral_reg.intra.tau_init=0.1", "spectral_reg.inter.delta=0.2", "spectral_reg.overlap=1"]
    signed = [
        signed_part(composed("data=synthetic", *change))["spectral_reg"] for change in ([], *([c] for c in changes))
    ]
    assert all(one != other for i, one in enumerate(signed) for other in signed[:i])


def test_its_pictures_end_where_training_does():
    regularizer = built()
    regularizer.set_end(Progress(80, 20, 1.0))
    assert regularizer.intra.end == 20
    regularizer = built("spectral_reg.intra.truncation_unit=step")
    regularizer.set_end(Progress(80, 20, 1.0))
    assert regularizer.intra.end == 80
