"""What regularizers state without being imported holds: options that change no bit, and whether weights are trained."""

import itertools

import pytest
import torch
from inter_scale_parts import build, options_of, train
from training_parts import ThreeScales, scales_objective, unequal

import lic_exp
from lic_exp.component_schema import describe
from lic_exp.config.compose import compose
from lic_exp.config.options import options
from lic_exp.config.overrides import parse
from lic_exp.progress import Progress
from lic_exp.requirements import Unused
from lic_exp.spectral_reg.intra_scale import IntraScale

INTRA = describe("lic_exp.spectral_reg.intra_scale.IntraScale")
INTER = describe("lic_exp.spectral_reg.inter_scale.InterScale")
PREDICT = describe("lic_exp.spectral_reg.inter_predict.InterPredict")

OTHER_INTRA = {"tau_final": 0.4, "schedule": "cosine"}
OTHER_INTER = {
    "top": "none",
    "unit": "share",
    "ramp": 1.0,
    "guard_std_factor": 1.0001,
    "guard_std_floor": 1e-6,
    "on_breach": "switch_off",
}


def cases(component):
    """Every statement of what is unused, with every way in which its conditions hold."""
    for statement in component.statements:
        if isinstance(statement, Unused):
            ways = [value if isinstance(value, tuple) else (value,) for value in statement.when.values()]
            for values in itertools.product(*ways):
                yield statement.option, dict(zip(statement.when, values, strict=True))


@pytest.mark.parametrize(("option", "where"), list(cases(INTRA)))
def test_what_the_truncation_does_not_use(option, where):
    usual = options_of("intra") | where
    one, other = (IntraScale(**usual | change).train() for change in ({}, {option: OTHER_INTRA[option]}))
    assert INTRA.unused(usual) >= {option}
    assert INTRA.unused(options_of("intra")) == frozenset()
    x = torch.rand(1, 3, 16, 16)
    for now in range(3):
        for each in (one, other):
            each.set_progress(Progress(step=now, epoch=now, share=now / 100))
        assert torch.equal(one.transform_batch(x, x)[0], other.transform_batch(x, x)[0])
        assert one.scalars() == other.scalars()


@pytest.mark.parametrize(
    ("name", "component", "option", "where"),
    [
        (name, component, *case)
        for name, component in (("inter", INTER), ("inter_predict", PREDICT))
        for case in cases(component)
    ],
)
def test_what_a_term_does_not_use(name, component, option, where):
    where = where | ({"conv": "frozen_orthogonal"} if "metric" in where else {})
    usual = options_of(name) | {"start": 0, "unit": "step", "guard_every_steps": 2, "gradient_every_steps": 2} | where
    assert usual[option] != OTHER_INTER[option]
    assert component.unused(usual) >= {option}
    assert component.unused(options_of(name)) == frozenset()
    found = []
    for change in ({}, {option: OTHER_INTER[option]}):
        of = scales_objective(build(name, **usual | change)).train()
        _, terms = train(of, 5, batch_size=2)
        found.append({"terms": terms, "scalars": of.scalars(), "state": dict(of.state_dict())})
    assert unequal(*found) == []


@pytest.mark.parametrize("name", [name for name in options("spectral_reg") if name != "none"])
def test_whether_weights_are_trained_is_said(name):
    node = compose(parse([f"spectral_reg={name}"]))["spectral_reg"]
    regularizer = lic_exp.create_regularizer(name)
    regularizer.attach(ThreeScales())
    trained = any(parameter.requires_grad for parameter in regularizer.parameters())
    assert describe(node["_target_"]).learnable(node) == trained
