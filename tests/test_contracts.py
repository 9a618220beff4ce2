"""What holds for every shipped option. Options are found by glob: a new yaml is judged without a change here."""

import inspect
import math
from importlib import import_module

import pytest
import torch
import toy
from commands import QUICK
from torch import Tensor
from training_parts import ThreeScales

import lic_exp
from lic_exp.capabilities import CodecFacts, CriterionFacts, RegularizerNeeds
from lic_exp.component_schema import describe
from lic_exp.config import validation
from lic_exp.config.compose import compose
from lic_exp.config.instantiation import instantiate
from lic_exp.config.options import groups, options
from lic_exp.config.overrides import parse
from lic_exp.config.schema import GROUPS
from lic_exp.config.signing import data_source
from lic_exp.config.validation import validate
from lic_exp.models.base import Codec, CodecOutput
from lic_exp.places import conf_folder
from lic_exp.runs.build import build_criterion, build_objective, build_stages, build_tracker
from lic_exp.spectral_reg.base import Progress, SpectralRegularizer
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.checkpoint import Checkpoints, load_checkpoint
from lic_exp.training.criterion import LooksAgain

ON_META = {"dhic", "dhic_paper", "dhic_mid", "hpcm_base", "hpcm_large", "hpcm_phi", "hpcm_1b"}
"""Models of some 60 M parameters and more, which are built on the meta device."""

PAPERS = ("dhic_paper", "hpcm_paper", "hpcm_fork")
BOX = ("box", "box_search")
WITH_THEM = {*(f"experiment={name}" for name in PAPERS), "scale=paper", *(f"model={name}" for name in ON_META)}

FROM_FOLDERS = ("data=folder", "scale=gpu", "scale=paper", *(f"experiment={n}" for n in (*PAPERS, *BOX)))
"""Options that need folders of images beside them."""

MODELS = options("model")
TINY = [name for name in MODELS if name.endswith("_tiny")]
OPTIONS = [f"{group}={name}" for group in groups() for name in options(group)]

UNTRAINED: dict[str, str] = {
    f"hpcm_tiny.attn_s{scale}.conv_k.bias": "a softmax does not see what is added to all keys" for scale in (1, 2, 3)
}
"""Parameters that legitimately get no gradient: {"model.parameter": why}."""


def config_of(*overrides):
    return validate(compose(parse(overrides)))


def compares_scales(name):
    """Whether a regularizer needs a model of several latents."""
    found = describe(compose(parse([f"spectral_reg={name}"]))["spectral_reg"]["_target_"]) if name != "none" else None
    return found is not None and found.facts.latents > 1


@pytest.fixture(scope="module")
def beside(photos, toy_folder):
    """What an option needs beside it to make a valid run: {option: overrides}."""
    data = [f"data.train=['{photos}/train']", f"data.val=['{photos}/val']"]
    pyramid = [f"plugins=[{toy.NAME}]", "model=toy_pyramid"]
    return {
        **{f"spectral_reg={name}": pyramid for name in options("spectral_reg") if compares_scales(name)},
        **dict.fromkeys(FROM_FOLDERS, data),
        "model=hpcm_base": ["data.crop_size=256"],
        "model=hpcm_large": ["data.crop_size=256"],
        "criterion=mse": ["model=hyperprior_tiny"],
        "criterion=ms_ssim": ["model=hyperprior_tiny", "data.crop_size=192"],
        "criterion=balanced_mse": ["model=hyperprior_tiny"],
        "criterion=balanced": [f"plugins=[{toy.NAME}]", "model=toy_scalable"],
        "criterion=variable_rate": [f"plugins=[{toy.NAME}]", "model=toy_scalable"],
    }


def class_of(target):
    module, _, name = target.rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_binds(option, beside, tmp_path, monkeypatch):
    """Composed, validated, and every component of the run constructed from it."""
    # A tracker is built without its optional package, which is imported when it starts.
    monkeypatch.setattr(validation, "not_installed", lambda path, component: iter(()))
    group, _, name = option.partition("=")
    config = config_of(option, *beside.get(option, []), f"paths.runs={tmp_path}")
    if (found := getattr(getattr(config, group, None), "component", None)) is not None:
        made_with = inspect.signature(class_of(found.target)).parameters.values()
        assert list(found.schema.options) == [p.name for p in made_with if p.kind == p.KEYWORD_ONLY]
        assert not [p.name for p in made_with if p.kind == p.KEYWORD_ONLY and p.default is not p.empty], (
            "the yaml holds the number, code has no competing default"
        )
    build_tracker(config, RunFolder(tmp_path))
    if option in WITH_THEM:
        with torch.device("meta"):
            instantiate(config.model.component, "model")
        return
    objective = build_objective(config, torch.device("cpu"))
    stage, *_ = build_stages(config, objective, data_source, torch.device("cpu"))
    assert stage.steps >= 1
    assert stage.build().optimizers.net.param_groups[0]["lr"] == config.optimizer.options["lr"]
    assert sum(p.numel() for p in objective.parameters()) <= 100e6, f"add {name} to ON_META"


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_every_option_says_what_it_is(group):
    """The first line of a yaml has a comment for people."""
    unsaid = [path for path in (conf_folder() / group).glob("*.yaml") if "#" not in path.read_text().split("\n")[0]]
    assert not unsaid


@pytest.fixture(scope="module", params=[name for name in MODELS if name not in ON_META])
def codec(request):
    """An untrained codec in eval mode whose latents are more than zeros."""
    codec = lic_exp.create_model(request.param).eval()
    enliven(codec)
    codec.update()
    return codec


def images(codec: Codec, height: int = 1, width: int = 1) -> Tensor:
    """One image of so many times the smallest legal side."""
    side = codec.facts.downsampling_factor
    return torch.rand(1, 3, height * side, width * side, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def enliven(codec: Codec) -> None:
    for _ in range(30):
        if codec(images(codec, 2)).latents[-1].round().unique().numel() > 4:
            return
        for parameter in codec.parameters():
            if parameter.dim() == 4:
                parameter.mul_(1.2)
    raise AssertionError("its latents stay the same few numbers")


def test_the_catalogue_knows_the_codecs_facts(codec):
    described = describe(f"{type(codec).__module__}.{type(codec).__qualname__}")
    assert described.facts == codec.facts
    assert isinstance(codec.facts, CodecFacts)


@torch.no_grad()
def test_a_codec_keeps_its_output_contract(codec):
    factor = codec.facts.downsampling_factor
    for height, width in ((1, 1), (2, 1)):
        x = images(codec, height, width)
        output = codec(x)
        assert output.x_hat.shape == x.shape
        assert output.x_hat.dtype == torch.float32
        assert len(output.latents) == codec.facts.latents
        areas = [latent.shape[-2] * latent.shape[-1] for latent in output.latents]
        assert areas == sorted(areas), "latents are coarse to fine"
        for symbols in [*output.latents, *output.bits.values()]:
            assert symbols.shape[0] == 1
            for pixels, positions in zip(x.shape[-2:], symbols.shape[-2:], strict=True):
                assert pixels % positions == 0
                assert factor % (pixels // positions) == 0
        check_bits(output)


def check_bits(output: CodecOutput) -> None:
    for bits in output.bits.values():
        assert bits.dtype in (torch.float32, torch.float64)
        assert bits.isfinite().all()
        assert (bits >= 0).all()


def test_a_sample_output_shows_the_latents_and_leaves_no_trace(codec):
    codec.train()
    try:
        before = {name: buffer.clone() for name, buffer in codec.named_buffers()}
        random_state = torch.get_rng_state()
        output = codec.sample_output()
        assert codec.training
        assert len(output.latents) == codec.facts.latents
        assert not output.latents[0].requires_grad
        assert torch.equal(random_state, torch.get_rng_state())
        assert all(torch.equal(before[name], buffer) for name, buffer in codec.named_buffers())
    finally:
        codec.eval()


@torch.no_grad()
def test_the_downsampling_factor_is_no_larger_than_it_must_be(codec):
    x = torch.rand(1, 3, codec.facts.downsampling_factor // 2, codec.facts.downsampling_factor // 2)
    try:
        shape = codec(x).x_hat.shape
    except (RuntimeError, ValueError):
        return
    assert shape != x.shape


@torch.no_grad()
def test_eval_mode_is_deterministic(codec):
    x = images(codec, 2)
    first, second = codec(x), codec(x)
    assert torch.equal(first.x_hat, second.x_hat)
    assert all(torch.equal(first.bits[name], second.bits[name]) for name in first.bits)
    assert codec.compress(x).strings == codec.compress(x).strings


@torch.no_grad()
def test_real_coding_is_exact(codec):
    x = images(codec, 2)
    compressed = codec.compress(x)
    expected = codec.reconstruct(compressed)
    received = type(compressed)(compressed.strings, compressed.shape)
    decoded = codec.decompress(received)
    assert decoded.shape == x.shape
    assert torch.equal(decoded, expected)
    assert decoded.std() > 0
    (bits,) = compressed.bits()
    estimated = sum(float(symbols.sum()) for symbols in codec(x).bits.values())
    assert 0.5 * estimated < bits < 2 * estimated + 512, "estimate and bytes are not of the same symbols"


@pytest.mark.parametrize("training", [False, True])
def test_bits_are_float32_under_autocast(codec, training):
    x = images(codec, 2)
    torch.manual_seed(0)
    try:
        codec.train(training)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            output = codec(x)
    finally:
        codec.eval()
    assert output.x_hat.dtype == torch.float32
    check_bits(output)


def test_training_relaxes_quantisation(codec):
    """Through plain rounding no gradient would reach the image."""
    x = images(codec, 2).requires_grad_()
    codec.train()
    try:
        (gradient,) = torch.autograd.grad(codec(x).x_hat.sum(), x)
    finally:
        codec.eval()
    assert gradient.abs().max() > 0


@pytest.fixture(scope="module", params=TINY)
def trained(request, tmp_path_factory):
    """Ten steps of a small model: its name, its run, and its weights before and after."""
    name = request.param
    crop = math.lcm(64, lic_exp.create_model(name).facts.downsampling_factor)
    overrides = [f"model={name}", "data.batch_size=2", f"data.crop_size={crop}", "trainer.max_steps=10"]
    folder = tmp_path_factory.mktemp(name)
    run = lic_exp.run([*QUICK, *overrides, "trainer.log_every_steps=1", f"paths.runs={folder}"], quiet=True)
    after = load_checkpoint(Checkpoints(run.folder / "checkpoints", run.signature).steps()[-1])["codec"]
    return name, run, lic_exp.create_model(name), after


def test_small_models_train_ten_steps(trained):
    name, run, _, _ = trained
    assert run.status["state"] == "done"
    losses = run.metrics["train/loss"].dropna()
    assert len(losses) == 10
    assert losses.map(math.isfinite).all(), name
    assert math.isfinite(run.metrics["val/rd_loss"].dropna().iloc[-1])


def test_every_parameter_moves(trained):
    name, _, before, after = trained
    still = {
        parameter_name
        for parameter_name, parameter in before.named_parameters()
        if parameter.requires_grad and torch.equal(parameter, after[parameter_name])
    }
    assert still == {key.split(".", 1)[1] for key in UNTRAINED if key.split(".", 1)[0] == name}


@pytest.mark.parametrize("name", [name for name in options("spectral_reg") if name != "none"])
def test_a_regularizer_keeps_its_contract(name):
    regularizer = lic_exp.create_regularizer(name)
    assert isinstance(regularizer, SpectralRegularizer)
    assert isinstance(regularizer.needs, RegularizerNeeds)
    config = validate(compose(parse([f"spectral_reg={name}"])), rules_too=False)
    assert config.spectral_reg.component.schema.facts == regularizer.needs
    x, target = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    codec = ThreeScales()
    regularizer.attach(codec)
    assert not [module for module in regularizer.modules() if module is codec]
    output = codec(x)
    regularizer.train().set_progress(Progress(step=0, epoch=0, share=0.0))
    seen, compared = regularizer.transform_batch(x, target)
    assert seen.shape == compared.shape
    assert seen.shape[:2] == x.shape[:2]
    assert not any(side % codec.facts.downsampling_factor or side > 32 for side in seen.shape[2:])
    assert seen.dtype == compared.dtype == torch.float32
    penalty = regularizer.penalty(output)
    assert penalty is None or (penalty.dim() == 0 and penalty.isfinite())
    assert all(math.isfinite(value) for value in regularizer.scalars().values())
    regularizer.eval()
    untouched = regularizer.transform_batch(x, target)
    assert untouched[0] is x
    assert untouched[1] is target
    assert regularizer.penalty(output) is None


@pytest.mark.parametrize("name", options("criterion"))
def test_a_criterion_keeps_its_facts(name, beside):
    config = config_of(f"criterion={name}", *beside.get(f"criterion={name}", []))
    criterion = build_criterion(config)
    facts = config.criterion.component.schema.facts
    assert isinstance(facts, CriterionFacts)
    assert facts == criterion.facts
    assert facts.second_look == isinstance(criterion, LooksAgain)
    x = torch.rand(1, 3, facts.min_crop_size, facts.min_crop_size)
    assert criterion(CodecOutput(x, {"y": x}, (x,)), x)["loss"].isfinite()
    if facts.min_crop_size > 1:
        small = x[..., 1:]
        with pytest.raises(ValueError, match=f"at least {facts.min_crop_size} pixels"):
            criterion(CodecOutput(small, {"y": small}, (small,)), small)
