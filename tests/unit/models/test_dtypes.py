"""Numbers other than float32: every codec says which it takes, computes in those, and refuses others by name."""

import re
from collections.abc import Iterator
from copy import deepcopy

import pytest
import torch
from torch import Tensor
from training_parts import SmallCodec

import lic_exp
from lic_exp.capabilities import CodecFacts
from lic_exp.component_schema import describe
from lic_exp.config.compose import compose
from lic_exp.config.options import options
from lic_exp.config.overrides import parse
from lic_exp.config.requirements import objections
from lic_exp.models.base import Codec, CodecOutput
from lic_exp.models.dhic.codec import DHIC

MODELS = options("model")
TINY = [name for name in MODELS if name.endswith("_tiny")]
BY_OPTION = {torch.bfloat16: "bf16", torch.float16: "fp16"}


@pytest.fixture(scope="module", params=TINY)
def codec(request: pytest.FixtureRequest) -> Codec:
    """In float32, as it is left by every test."""
    return lic_exp.create_model(request.param)


def image(codec: Codec, dtype: torch.dtype = torch.float32) -> Tensor:
    side = codec.facts.downsampling_factor
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(dtype)


def tensors(output: CodecOutput) -> Iterator[Tensor]:
    yield from (output.x_hat, *output.bits.values(), *output.latents)


def gradients_of(codec: Codec, output: CodecOutput) -> list[Tensor]:
    loss = output.x_hat.square().mean() + sum(bits.mean() for bits in output.bits.values()) + codec.aux_loss()
    codec.zero_grad()
    loss.backward()
    return [weight.grad for weight in codec.parameters() if weight.grad is not None]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_says_what_its_weights_may_be(name: str) -> None:
    facts = describe(compose(parse([f"model={name}"]))["model"]["_target_"]).facts
    assert isinstance(facts, CodecFacts)
    assert facts.dtypes == ("float32", "float64")
    assert facts.autocast == ("bf16", "fp16")


def test_float64_from_end_to_end(codec: Codec) -> None:
    expected = codec.eval()(image(codec)).x_hat
    codec, x = deepcopy(codec).double(), image(codec, torch.float64)
    output = codec(x)
    assert {tensor.dtype for tensor in tensors(output)} == {torch.float64}
    torch.testing.assert_close(output.x_hat.float(), expected, rtol=0.01, atol=0.01)
    output = codec.train()(x)
    assert {tensor.dtype for tensor in tensors(output)} == {torch.float64}
    assert all(gradient.isfinite().all() for gradient in gradients_of(codec, output))
    codec.eval().update()
    compressed = codec.compress(image(codec))
    picture = codec.decompress(compressed)
    assert picture.dtype == torch.float64
    assert torch.equal(picture, codec.reconstruct(compressed))


@pytest.mark.parametrize("dtype", BY_OPTION)
def test_autocast_trains_every_model(codec: Codec, dtype: torch.dtype) -> None:
    for training in (False, True):
        with torch.autocast("cpu", dtype):
            output = codec.train(training)(image(codec))
        assert output.x_hat.dtype == torch.float32
        assert {bits.dtype for bits in output.bits.values()} == {torch.float32}
        assert all(tensor.isfinite().all() for tensor in tensors(output))
    assert all(gradient.isfinite().all() for gradient in gradients_of(codec, output))


@pytest.mark.parametrize("dtype", BY_OPTION)
def test_weights_of_fewer_bits_are_refused_by_name(codec: Codec, dtype: torch.dtype) -> None:
    codec = deepcopy(codec).eval()
    codec.update()
    compressed = codec.compress(image(codec))
    codec.to(dtype)
    calls = [
        lambda: codec(image(codec, dtype)),
        lambda: codec.train()(image(codec)),
        lambda: codec.compress(image(codec)),
        lambda: codec.decompress(compressed),
        lambda: codec.reconstruct(compressed),
        codec.update,
        codec.sample_output,
    ]
    short = str(dtype).removeprefix("torch.")
    said = (
        f"weights of {short}, but {type(codec).__name__} computes in float32 or float64 as a whole: make it so, e.g. "
        f"by .float(); {short} is for torch.autocast (trainer.precision={BY_OPTION[dtype]})"
    )
    for call in calls:
        with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
            call()


@pytest.mark.parametrize(
    ("dtype", "said"),
    [
        (torch.float64, "x has float64, but the weights of this {} are float32: give it x.to(torch.float32), or"),
        (torch.bfloat16, "x has bfloat16, but the weights of this {} are float32: give it x.to(torch.float32)"),
        (torch.uint8, "x has uint8, but a codec takes images in [0, 1], floating-point numbers"),
        (torch.int64, "x has int64, but a codec takes images in [0, 1], floating-point numbers"),
        (torch.bool, "x has bool, but a codec takes images in [0, 1], floating-point numbers"),
    ],
)
def test_images_of_other_numbers_are_refused_by_name(codec: Codec, dtype: torch.dtype, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said.format(type(codec).__name__))):
        codec(image(codec, dtype))
    if isinstance(codec, DHIC):
        with pytest.raises(ValueError, match=re.escape(said.format("DHIC"))):
            codec.partial(image(codec, dtype), scales=2)


@pytest.mark.parametrize(("part", "dtype"), [("g_s", torch.float64), ("h_a", torch.bfloat16)])
def test_weights_of_several_numbers_are_refused_by_name(part: str, dtype: torch.dtype) -> None:
    codec = lic_exp.create_model("hyperprior_tiny")
    codec.get_submodule(part).to(dtype)
    for call in (codec, codec.compress):
        with pytest.raises(ValueError, match=f"weights of .*{str(dtype).removeprefix('torch.')}"):
            call(image(codec))


@pytest.mark.parametrize("dtype", [torch.float64, *BY_OPTION])
def test_a_codec_that_does_not_say_is_left_alone(dtype: torch.dtype) -> None:
    codec = SmallCodec().to(dtype)
    assert codec(image(codec, dtype)).x_hat.dtype == torch.float32


class OnlyBf16(SmallCodec):
    facts = CodecFacts(downsampling_factor=4, latents=1, autocast=("bf16",))


class OnlyFloat32(SmallCodec):
    facts = CodecFacts(downsampling_factor=4, latents=1, autocast=())


@pytest.mark.parametrize(
    ("kind", "precision", "said"),
    [
        (SmallCodec, "fp16", []),
        (OnlyBf16, "bf16", []),
        (OnlyBf16, "float32", []),
        (OnlyBf16, "fp16", ["trainer.precision=fp16: this model trains in float32 or bf16"]),
        (OnlyFloat32, "bf16", ["trainer.precision=bf16: this model trains in float32"]),
    ],
)
def test_a_precision_that_the_model_does_not_train_in(kind: type[Codec], precision: str, said: list[str]) -> None:
    component = describe(f"{SmallCodec.__module__}.SmallCodec")
    described = type(component)(component.target, component.code_name, {}, kind.facts)
    config = {"model": {}, "trainer": {"precision": precision}}
    assert list(objections(config, {"model": described})) == said


@pytest.mark.parametrize("name", ["dhic_tiny", "hpcm_tiny"])
def test_where_autocast_knows_nothing_of_a_device_nothing_is_converted(name: str) -> None:
    codec = lic_exp.create_model(name).to("meta")
    x = image(codec).to("meta")
    assert codec.eval()(x).x_hat.device.type == "meta"
    with pytest.raises(ValueError, match="x has float64"):
        codec(x.double())
