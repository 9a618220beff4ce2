"""What the tests of the inter-scale term build it with."""

from functools import cache, partial

import torch
from training_parts import CPU, SEED, SmallCodec, loader, optimizers, step_options

from lic_exp.capabilities import CodecFacts
from lic_exp.component_schema import describe
from lic_exp.conditions import View
from lic_exp.config.compose import compose
from lic_exp.config.overrides import parse
from lic_exp.models.base import CodecOutput
from lic_exp.optimizers import factories
from lic_exp.progress import Progress
from lic_exp.spectral_reg.inter_predict import InterPredict
from lic_exp.spectral_reg.inter_scale import InterScale
from lic_exp.training.rng import seed_everything
from lic_exp.training.stepper import Stepper

BOUNDS = {"none": None, "hinge": 1e4, "log1p": None, "ratio": None}
CONVS = ("trained", "unit_norm", "frozen_random", "frozen_orthogonal", "least_squares", "adversarial")
FAST = partial(factories.adam, lr=2e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)


@cache
def options_of(name):
    return {
        key: value for key, value in compose(parse([f"spectral_reg={name}"]))["spectral_reg"].items() if key[0] != "_"
    }


def build(name="inter", **changes):
    """The option by its name, from step 0 on."""
    kind = InterPredict if name == "inter_predict" else InterScale
    regularizer = kind(**options_of(name) | {"start": 0, "unit": "step"} | changes)
    regularizer.set_progress(Progress(0, 0, 0.0))
    return regularizer


def stepper(of, **changes):
    return Stepper(of.train(), optimizers(of, FAST, lr=2e-3), step_options(**changes), CPU, SEED)


def train(of, steps, *, first=0, batch_size=4, made=None, batches=None):
    """The stepper after so many steps, and the terms of each."""
    if made is None:
        seed_everything(1)
        made = stepper(of)
    batches = batches or loader(batch_size=batch_size).batches(first)
    terms = [made.step(next(batches), Progress(step, 0, 0.0)).terms for step in range(first, first + steps)]
    return made, [{name: float(value) for name, value in each.items()} for each in terms]


def conflicts(options):
    """What these options of the term are refused for."""
    statements = describe("lic_exp.spectral_reg.inter_scale.InterScale").statements
    return [message for statement in statements for message in statement.objections(View(options))]


def legal(metric="l2_mean", bound="none", conv="trained", detach="none"):
    options = {"metric": metric, "bound": bound, "bound_at": BOUNDS[bound], "conv": conv, "detach": detach}
    rest = {"conv_bias": False, "sign": "subtract", "gradient_cap": None, "gradient_every_steps": 1}
    return options, not conflicts(options | rest)


def fixed(latents, views=None, **facts):
    """A codec that always gives these latents."""
    codec = SmallCodec()
    codec.facts = CodecFacts(downsampling_factor=16, latents=len(latents), **facts)
    codec.forward = lambda x: CodecOutput(x, {}, latents, views or {})
    return codec


def sizes(*widths_and_sides):
    return tuple(torch.randn(1, width, side, side) for width, side in widths_and_sides)
