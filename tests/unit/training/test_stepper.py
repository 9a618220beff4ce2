"""One optimizer step and the options that change how it is computed."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from training_parts import (
    CPU,
    SEED,
    Gain,
    SmallCodec,
    loader,
    objective,
    optimizers,
    stage,
    step_options,
    trainer,
    unequal,
)

import lic_exp
from lic_exp.data.loading import Batch
from lic_exp.ops.dct import dct2
from lic_exp.optimizers import factories
from lic_exp.optimizers.cautious_adam import CautiousAdam
from lic_exp.progress import Progress
from lic_exp.training.criterion import MSE
from lic_exp.training.ema import EMA
from lic_exp.training.objective import Objective
from lic_exp.training.stepper import NonFiniteError, Stepper
from lic_exp.training.validation import Validation

sgd = partial(factories.sgd, lr=1e-3, momentum=0.0, nesterov=False, weight_decay=0.0)
START = Progress(0, 0, 0.0)
MADE, SKIPPED = torch.tensor(True), torch.tensor(False)


def batch(size=4, side=16):
    x = torch.rand(size, 3, side, side, generator=torch.Generator().manual_seed(0))
    return Batch(x, [f"{i}.png" for i in range(size)])


def stepper(of, factory=sgd, *, gated=False, **changes):
    made = Stepper(of, optimizers(of, factory), step_options(**changes), CPU, SEED)
    made.gated = gated
    return made


def all_state(of):
    """Copies of weights, buffers, gradients' absence, and moments."""
    return deepcopy([dict(of.objective.state_dict()), of.optimizers.state_dict()])


@pytest.mark.parametrize(("size", "parts"), [(4, 2), (4, 4), (5, 2), (2, 3)])
def test_accumulation_is_the_whole_batch_up_to_rounding(size, parts):
    """Parts of unequal size count by their images; the noise is off, since it would fall differently."""
    whole, split = (objective(noise=0.0) for _ in range(2))
    done = stepper(whole, clip_max_norm=None).step(batch(size), START)
    done_split = stepper(split, clip_max_norm=None, accumulate=parts).step(batch(size), START)
    before = objective(noise=0.0).codec.state_dict()
    for name, weight in whole.codec.state_dict().items():
        torch.testing.assert_close(
            split.codec.state_dict()[name] - before[name], weight - before[name], rtol=1e-4, atol=1e-8
        )
    for name in ("loss", "bpp_loss", "mse_loss", "y_bpp", "aux_loss"):
        torch.testing.assert_close(done_split.terms[name], done.terms[name], rtol=1e-5, atol=0)
    torch.testing.assert_close(done_split.norms, done.norms, rtol=1e-5, atol=0)


def test_accumulation_is_exact_in_double_precision():
    """The criterion computes in float32, so the objective here is a plain double-precision function of the codec."""

    class Double(Objective):
        def forward(self, x, *drawn, target):
            output = self.codec(x.double())
            return {"loss": (output.latents[0].square().mean(dim=(1, 2, 3)).mean())}

    def after(parts):
        of = objective(noise=0.0).double()
        of.__class__ = Double
        stepper(of, clip_max_norm=None, accumulate=parts).step(batch(), START)
        return of.codec.g_a.weight

    torch.testing.assert_close(after(2), after(1), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(after(3), after(1), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
@pytest.mark.parametrize("gated", [False, True])
def test_autocast_trains_with_losses_and_bits_in_float32(monkeypatch, precision, dtype, gated):
    monkeypatch.setattr(factories, "kernel", lambda params: {"fused": True})
    of, seen = objective(regularizer=Gain()), []
    of.codec.g_a.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    of.codec.register_forward_hook(lambda module, inputs, output: seen.append(output.bits["y"].dtype))
    adam = partial(factories.adam, lr=1e-2, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)
    made = stepper(of, adam, precision=precision, gated=gated)
    losses = []
    for step in range(30):
        terms = made.step(batch(), Progress(step, 0, 0.0)).terms
        assert all(term.dtype == torch.float32 for term in terms.values())
        losses.append(float(terms["loss"]))
    assert seen == [dtype, dtype, *([dtype, torch.float32] * 30)], "the first two show which weights are cast"
    assert made.take_pending() == []
    assert sum(losses[-5:]) < sum(losses[:5])
    assert all(weight.dtype == torch.float32 for weight in of.parameters())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_codec_of_compressai_has_float32_bits_under_autocast(precision):
    of = Objective(lic_exp.create_model("mean_scale_hyperprior_tiny"), MSE(lmbda=0.01), {}).train()
    found = []
    of.codec.register_forward_hook(lambda module, inputs, output: found.extend(output.bits.values()))
    terms = stepper(of, precision=precision).step(batch(2, 64), START).terms
    assert found
    assert all(bits.dtype == torch.float32 for bits in found)
    assert all(torch.isfinite(term) for term in terms.values())


def test_the_dct_is_float32_under_autocast():
    x = torch.rand(1, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(dct2(x), dct2(x.float()))
        assert dct2(x).dtype == torch.float32


def overflowing(gated):
    """A step whose loss is finite, but not the gradient of its 65536-fold in 16 bits."""
    of = objective()
    of.criterion.lmbda = 1e4
    adam = partial(factories.adam, lr=1e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)
    return stepper(of, adam, precision="fp16", gated=gated)


@pytest.mark.parametrize("gated", [False, True])
def test_an_overflow_of_fp16_is_skipped_and_no_failure(monkeypatch, gated):
    monkeypatch.setattr(factories, "kernel", lambda params: {"fused": True})
    made = overflowing(gated)
    before, scale = all_state(made), made.scaler.get_scale()
    done = made.step(batch(), START)
    assert torch.isfinite(done.terms["loss"])
    assert not torch.isfinite(done.norms["net"])
    assert made.take_pending() == []
    assert made.scaler.get_scale() == scale / 2
    weights = all_state(made)[0]
    assert unequal(before[0]["codec.g_a.weight"], weights["codec.g_a.weight"]) == []
    moments = [value for state in made.optimizers.net.state.values() for value in state.values()]
    assert not any(bool(moment.any()) for moment in moments), "step counts among them"
    for step in range(40):
        made.step(batch(), Progress(step, 0, 0.0))
    assert made.scaler.get_scale() < scale / 2
    weights = all_state(made)[0]
    assert all(bool(value.isfinite().all()) for value in weights.values())
    assert unequal(before[0]["codec.g_a.weight"], weights["codec.g_a.weight"]) != []


@pytest.mark.parametrize("gated", [False, True])
def test_fp16_goes_on_after_a_loss_that_is_not_finite(monkeypatch, gated):
    monkeypatch.setattr(factories, "kernel", lambda params: {"fused": True})
    made = stepper(
        objective(),
        partial(factories.adam, lr=1e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0),
        precision="fp16",
        gated=gated,
    )
    bad = batch()
    bad.x[0] = torch.nan
    if gated:
        made.step(bad, START)
        assert [error.step for error in made.take_pending()] == [0]
    else:
        with pytest.raises(NonFiniteError, match=r"loss not finite in the step after 0; images: 0\.png, "):
            made.step(bad, START)
    made.step(batch(), START)
    assert all(bool(weight.isfinite().all()) for weight in made.objective.parameters())


def test_channels_last_reaches_the_codec_and_computes_the_same():
    usual, last = (objective(noise=0.0) for _ in range(2))
    last.codec.to(memory_format=torch.channels_last)
    formats = []
    last.codec.g_a.register_forward_hook(
        lambda module, inputs, output: formats.append(
            [tensor.is_contiguous(memory_format=torch.channels_last) for tensor in (inputs[0], output)]
        )
    )
    stepper(usual).step(batch(), START)
    stepper(last, channels_last=True).step(batch(), START)
    assert formats == [[True, True]]
    torch.testing.assert_close(dict(last.state_dict()), dict(usual.state_dict()), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_bad_step_changes_nothing(monkeypatch, gated, where):
    """Neither weights, moments and step counts, nor the running averages that the forward pass has spoilt."""
    monkeypatch.setattr(factories, "kernel", lambda params: {"fused": True})
    of = objective(regularizer=Gain(bad_steps=(3,) if where == "gradient" else ()))
    made = stepper(of, partial(factories.adam, lr=1e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0), gated=gated)
    for step in range(3):
        made.step(batch(), Progress(step, 0, 0.0))
    before, bad = all_state(made), batch()
    if where == "loss":
        bad.x[1] = torch.nan
    if gated:
        made.step(bad, Progress(3, 0, 0.0))
        errors = made.take_pending()
    else:
        with pytest.raises(NonFiniteError) as raised:
            made.step(bad, Progress(3, 0, 0.0))
        errors = [raised.value]
    assert [error.step for error in errors] == [3]
    assert str(errors[0]).endswith("not finite in the step after 3; images: 0.png, 1.png, 2.png, 3.png")
    assert unequal(before, all_state(made)) == []
    made.step(batch(), Progress(4, 0, 0.0))
    assert unequal(before, all_state(made)) != []


def test_the_gated_way_is_the_other_way_bit_for_bit(monkeypatch):
    monkeypatch.setattr(factories, "kernel", lambda params: {"fused": True})
    adam = partial(factories.adam, lr=1e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.1)
    states = []
    for gated in (False, True):
        made = stepper(objective(regularizer=Gain()), adam, gated=gated)
        for step in range(5):
            made.step(batch(), Progress(step, 0, 0.0))
        states.append(all_state(made))
    assert unequal(*states) == []


@pytest.mark.parametrize("name", ["adam", "adamw", "cautious_adam", "sgd"])
def test_the_optimizers_of_a_gpu_can_skip_a_step(monkeypatch, name):
    monkeypatch.setattr(factories, "kernel", lambda params: {"fused": True})
    decays = {"betas": [0.9, 0.999], "eps": 1e-8}
    options = {"momentum": 0.9, "nesterov": True} if name == "sgd" else decays
    of = objective()
    more = {"max_rescale": 10.0} if name == "cautious_adam" else {}
    factory = CautiousAdam if name == "cautious_adam" else getattr(factories, name)
    made = optimizers(of, partial(factory, lr=1e-2, weight_decay=0.1, **options, **more))
    assert made.can_skip
    states = []
    for skip in (False, True, False):
        for parameter in of.parameters():
            parameter.grad = torch.full_like(parameter, torch.nan if skip else 0.5)
        made.step(skip=torch.tensor(skip))
        states.append(deepcopy([dict(of.state_dict()), made.state_dict()]))
    assert unequal(states[0], states[1]) == []
    assert unequal(states[1], states[2]) != []


def test_muon_cannot_skip_and_is_checked_first():
    class Half(torch.optim.SGD):
        """An optimizer without fused kernels, like Muon."""

    made = optimizers(objective(), lambda params: Half(params, lr=1e-3))
    assert not made.can_skip
    assert not Stepper(objective(), made, step_options(), torch.device("cuda"), SEED).gated


def test_ema_starts_at_the_first_weights_and_keeps_its_own_copy():
    codec = SmallCodec()
    average = EMA(codec, 0.5)
    first = codec.g_a.weight.detach().clone()
    average.update(codec, MADE)
    with torch.no_grad():
        codec.g_a.weight.add_(1)
    assert torch.equal(average.codec.g_a.weight, first)
    average.update(codec, MADE)
    torch.testing.assert_close(average.codec.g_a.weight, first + 0.5)
    assert not any(parameter.requires_grad for parameter in average.parameters())


def test_ema_begins_at_the_first_step_that_was_made():
    """Not at one that was skipped, which leaves the average as it is, to the bit."""
    codec, decay = SmallCodec(), 0.9
    average = EMA(codec, decay)
    average.update(codec, SKIPPED)
    with torch.no_grad():
        codec.g_a.weight.add_(1)
    average.update(codec, MADE)
    assert torch.equal(average.codec.g_a.weight, codec.g_a.weight)
    before = deepcopy(dict(average.state_dict()))
    with torch.no_grad():
        codec.g_a.weight.add_(1)
    average.update(codec, SKIPPED)
    assert unequal(before, dict(average.state_dict())) == []
    average.update(codec, MADE)
    torch.testing.assert_close(average.codec.g_a.weight, before["module.g_a.weight"] + 0.1)


def test_the_host_never_looks_at_whether_a_step_was_made():
    """On a GPU it would have to wait. Tensors of the meta device have no values that could be looked at."""
    codec, updated = SmallCodec().to("meta"), torch.ones((), dtype=torch.bool, device="meta")
    average = EMA(codec, 0.9)
    for _ in range(2):
        average.update(codec, updated)
    with pytest.raises(RuntimeError):
        bool(updated)


def test_ema_computes_the_bits_of_torchs_own():
    codec, decay = SmallCodec(), 0.9
    average, torchs = EMA(codec, decay), AveragedModel(codec, multi_avg_fn=get_ema_multi_avg_fn(decay))
    for _ in range(4):
        with torch.no_grad():
            codec.g_a.weight.add_(torch.rand_like(codec.g_a.weight))
            codec.seen.add_(1)
        average.update(codec, MADE)
        torchs.update_parameters(codec)
    assert unequal(dict(average.state_dict()), dict(torchs.state_dict())) == []


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)  # the compiler's
def test_a_compiled_codec_trains_and_keeps_its_names(tmp_path):
    """Validation images differ in size, so they do not go through the compiled call."""
    codec = lic_exp.create_model("hyperprior_tiny")
    keys = list(codec.state_dict())
    of = Objective(codec, MSE(lmbda=0.01), {})
    calls, graphs = [], []

    def backend(graph, inputs):
        graphs.append(graph)

        def run(*values):
            calls.append(len(calls))
            return graph.forward(*values)

        return run

    codec.compile(backend=backend)
    run = trainer(tmp_path, of, [stage(of, 3, batches=loader(crop_size=64))], ema_decay=0.9, validate_every_steps=100)
    validate, run.validate = run.validate, lambda codec: {"val/rd_loss": 0.0}
    run.fit()
    made = len(calls)
    assert graphs
    assert made >= 3
    assert list(codec.state_dict()) == keys == list(run.ema.codec.state_dict())
    images = [("odd", torch.rand(1, 3, 33, 70))]
    assert Validation(of.criterion, images, CPU)(codec)["val/rd_loss"] > 0
    assert validate(run.ema.codec)["val/rd_loss"] > 0
    assert len(calls) == made


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)  # the compiler's
def test_torch_compile_of_a_codec_computes_the_same():
    """With the compiler that a run uses, if this machine has a C++ compiler for it."""
    plain, compiled = (Objective(lic_exp.create_model("hyperprior_tiny"), MSE(lmbda=0.01), {}) for _ in range(2))
    compiled.load_state_dict(plain.state_dict())
    compiled.codec.compile()
    x = batch(2, 64)
    losses = []
    for of in (plain, compiled):
        made = stepper(of)
        losses.append([float(made.step(x, Progress(step, 0, 0.0)).terms["loss"]) for step in range(3)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert all(bool(weight.isfinite().all()) for weight in compiled.parameters())
    assert isinstance(compiled.codec, nn.Module)
    assert list(compiled.state_dict()) == list(plain.state_dict())
