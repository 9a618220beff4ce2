"""Weights that are cast for a whole forward pass at once: to the bit what autocast makes of them one by one."""

from collections import Counter
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from training_parts import CPU, SEED, SmallCodec, optimizers, step_options, unequal, variable_rate

import lic_exp
from lic_exp.config.options import options
from lic_exp.data.batches import Batch
from lic_exp.models.base import CodecOutput
from lic_exp.private_torch import watched
from lic_exp.progress import Progress
from lic_exp.training.casting import Casts
from lic_exp.training.compiling import compile_objective
from lic_exp.training.criterion import MSE
from lic_exp.training.objective import Objective
from lic_exp.training.rng import rng_state, seed_everything
from lic_exp.training.stepper import AUTOCAST, Stepper

TINY = [name for name in options("model") if name.endswith("_tiny")]
START = Progress(3, 0, 0.0)


def made(model, **changes):
    seed_everything(0)
    codec = lic_exp.create_model(model)
    of = Objective(codec, variable_rate() if codec.facts.variable_rate else MSE(lmbda=0.01), {}).train()
    return stepper_of(of, **changes)


def stepper_of(of, **changes):
    options = step_options(**{"precision": "bf16", "clip_max_norm": None} | changes)
    stepper = Stepper(of, optimizers(of), options, CPU, SEED)
    if stepper.scaler.is_enabled():
        stepper.scaler = torch.amp.GradScaler("cpu", init_scale=2.0)  # which nothing overflows by
    return stepper


def batch(images=2, side=64):
    x = torch.rand(images, 3, side, side, generator=torch.Generator().manual_seed(0))
    return Batch(x, [f"{i}.png" for i in range(images)])


def side_of(model):
    return 128 if model == "hpcm_tiny" else 64


def by_autocast(stepper):
    """Leave all casts to it."""
    stepper.casts = Casts(stepper.objective.codec, None)
    return stepper


def trained(stepper, given, steps=1):
    """Terms of the last step, and the gradients that it leaves."""
    for step in range(3, 3 + steps):
        terms = stepper.step(given, Progress(step, 0, 0.0)).terms
    gradients = {name: weight.grad for name, weight in stepper.objective.named_parameters()}
    return terms, {name: gradient for name, gradient in gradients.items() if gradient is not None}


class Narrowed:
    """count: how often one of the weights, or a view of it, is cast to 16 bits by itself."""

    def __init__(self, weights):
        self.memory = {weight.untyped_storage().data_ptr() for weight in weights}
        self.count = 0

    def __call__(self, given, cast_to, view):
        self.count += cast_to in AUTOCAST.values() and given[0].untyped_storage().data_ptr() in self.memory


@pytest.mark.parametrize("model", TINY)
def test_every_small_model_gets_the_bits_of_autocast(model):
    ours, autocasts = made(model), by_autocast(made(model))
    given = batch(side=side_of(model))
    assert unequal(trained(autocasts, given), trained(ours, given)) == []
    counts = []
    for stepper in (ours, autocasts):
        seen = Narrowed(stepper.objective.codec.parameters())
        with watched(seen):
            trained(stepper, given)
        counts.append(seen.count)
    assert counts[0] == 0 < counts[1]
    assert unequal(ours.objective.state_dict(), autocasts.objective.state_dict()) == []


@pytest.mark.parametrize("model", ["dhic_tiny", "factorized_tiny"])
@pytest.mark.parametrize("changes", [{"precision": "fp16"}, {"accumulate": 2, "clip_max_norm": 1.0}])
def test_so_it_is_in_other_numbers_and_in_parts(model, changes):
    given = batch(3)
    assert unequal(trained(by_autocast(made(model, **changes)), given), trained(made(model, **changes), given)) == []


def test_in_float32_nothing_is_cast_and_no_pass_is_made_for_it():
    stepper = made("factorized_tiny", precision="float32")
    passes = []
    stepper.objective.codec.register_forward_hook(lambda *_: passes.append(1))
    forward = stepper.objective.codec.forward
    stepper.objective.codec.forward = lambda *given: (passes.append(2), forward(*given))[1]
    stepper.step(batch(), START)
    assert passes == [2, 1]
    assert stepper.casts.places == []


class Uses(SmallCodec):
    """A small codec that does something of its own with a weight. use: what."""

    def __init__(self, use):
        super().__init__()
        self.use = use
        self.mix = nn.Conv2d(4, 4, 1)
        self.other = nn.Conv2d(4, 4, 1)
        if use == "shared":
            self.other.weight = self.mix.weight
        if use == "frozen":
            self.mix.requires_grad_(False)

    def forward(self, x):
        y, bias, weight = self.g_a(x), torch.zeros(()), self.mix.weight
        if self.use == "masked":
            weight.data *= torch.ones_like(weight).tril()
        if self.use == "summed":
            y = nn.functional.conv2d(y, weight + self.other.weight)
        elif self.use == "multiplied":
            y = nn.functional.conv2d(y, weight * 0.5)
        elif self.use == "two views":
            y = torch.cat([nn.functional.conv2d(y, weight[:2]), nn.functional.conv2d(y, weight[2:])], 1)
        elif self.use == "spread":
            y = torch.bmm(weight.flatten(1).expand(len(y), 4, 4), y.flatten(2)).reshape(y.shape)
        elif self.use == "matrix":
            y = nn.functional.linear(y.movedim(1, -1), weight.flatten(1), self.mix.bias).movedim(-1, 1)
        elif self.use == "its size":
            y = self.mix(y) * weight.square().sum()
        elif self.use == "given away":
            y, bias = self.mix(y), self.mix.bias.view(1, -1, 1, 1)
        elif self.use == "by name":
            y = nn.functional.conv2d(y, self.get_parameter("mix.weight"), self.mix.get_parameter("bias"))
        elif self.use == "detached":
            y = nn.functional.conv2d(y, weight.detach(), self.mix.bias)
        elif self.use == "never":
            y = self.other(y)
        else:
            y = self.mix(self.mix(y))
        y = self.other(y)
        views = {"bias": (bias,)}
        return CodecOutput(self.g_s(y).float(), {"y": 1 + y.float().square()}, (y,), views)


CAST = {
    "twice": {"mix.weight", "mix.bias"},
    "shared": {"mix.weight", "mix.bias"},
    "frozen": {"mix.weight", "mix.bias"},
    "matrix": {"mix.weight", "mix.bias"},
    "by name": {"mix.weight", "mix.bias"},
    "two views": {"mix.weight"},
    "detached": {"mix.weight", "mix.bias"},
    "masked": {"mix.bias"},
    "summed": set(),
    "multiplied": set(),
    "spread": set(),
    "its size": {"mix.bias"},
    "given away": {"mix.weight"},
    "never": set(),
}


def using(use):
    seed_everything(0)
    return stepper_of(Objective(Uses(use), MSE(lmbda=0.01), {}).train())


@pytest.mark.parametrize("use", CAST)
def test_only_weights_that_are_cast_and_nothing_else_are_given_so(use):
    ours, autocasts = using(use), by_autocast(using(use))
    assert unequal(trained(autocasts, batch(), 2), trained(ours, batch(), 2)) == []
    tables = {id(module._parameters): name for name, module in ours.objective.codec.named_modules()}
    found = {f"{tables[id(weights)]}.{name}" for weights, name in ours.casts.places}
    assert {name for name in found if name.startswith("mix")} == CAST[use]
    assert {"g_a.weight", "g_a.bias", "g_s.weight", "g_s.bias"} <= found
    assert unequal(ours.objective.state_dict(), autocasts.objective.state_dict()) == []


class Particular(SmallCodec):
    """Refuses weights that are not what it expects, in the middle of a forward pass. how: by what."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        y = self.g_a(x)
        self.seen += 1
        torch.rand(3)
        if self.how == "dtype" and self.g_s.weight.dtype != torch.float32:
            raise TypeError("weights of\nfloat32 alone")
        if self.how == "kind" and type(self.g_s.weight) is not nn.Parameter:
            raise AttributeError("no parameter")
        return CodecOutput(self.g_s(y).float(), {"y": 1 + y.float().square()}, (y,))


@pytest.mark.parametrize("how", ["dtype", "kind"])
def test_where_a_codec_refuses_them_all_is_left_to_autocast(caplog, how):
    caplog.set_level("INFO", "lic_exp.training")
    found = []
    for leave in (False, True):
        seed_everything(0)
        stepper = stepper_of(Objective(Particular(how), MSE(lmbda=0.01), {}).train())
        found.append((trained(by_autocast(stepper) if leave else stepper, batch(), 2), rng_state()))
        assert stepper.casts.places == []
        assert int(stepper.objective.codec.seen) == 2
    assert unequal(*found) == []
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("weights are cast one by one: given otherwise, ")
    assert "\n" not in line


@pytest.mark.parametrize("fails", [False, True])
def test_after_a_forward_pass_all_is_as_it_was(fails):
    stepper = using("shared")
    stepper.step(batch(), START)
    codec = stepper.objective.codec
    before = dict(codec.named_parameters(remove_duplicate=False))
    during = []

    def look(*_):
        during.extend(codec.parameters())
        if fails:
            raise RuntimeError("in the middle")

    codec.g_s.register_forward_hook(look)
    with pytest.raises(RuntimeError, match="middle") if fails else nullcontext():
        stepper.step(batch(), START)
    assert Counter(weight.dtype for weight in during) == {torch.bfloat16: 7, torch.float32: 1}, "quantiles stay"
    after = dict(codec.named_parameters(remove_duplicate=False))
    assert [name for name, weight in before.items() if after[name] is not weight] == []
    assert {weight.dtype for weight in after.values()} == {torch.float32}


class Counting:
    """A compiler that hands back what it is given. graphs: so far."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        return graph.forward


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("model", "how"),
    [
        ("factorized_tiny", True),
        pytest.param("hpcm_tiny", "blocks", marks=pytest.mark.slow),
        pytest.param("dhic_tiny", True, marks=pytest.mark.slow),
    ],
)
def test_what_is_compiled_is_so_once_and_takes_the_weights_as_they_come(model, how):
    torch._dynamo.reset()
    stepper, compiler = made(model), Counting()
    compile_objective(stepper.objective, how, backend=compiler)
    given = batch(side=side_of(model))
    _, found = trained(stepper, given)
    _, eager = trained(made(model), given)
    for name, gradient in eager.items():
        assert (found[name] - gradient).norm() <= 0.001 * gradient.norm(), name
    graphs = compiler.graphs
    assert graphs == 1 if how is True else graphs > 1
    assert torch._dynamo.utils.counters["graph_break"] == {}
    trained(stepper, given, 2)
    assert compiler.graphs == graphs
    torch._dynamo.reset()
