"""DHIC on a small graph: scalar limits, coding, qualities, partial pictures, and what its weights remember."""

import copy
import math
from dataclasses import replace

import golden_dhic as golden
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lic_exp
from lic_exp.config.errors import ConfigError
from lic_exp.data.loading import folder_images
from lic_exp.metrics import psnr
from lic_exp.models.dhic.codec import DHIC
from lic_exp.models.dhic.conditioning import as_quality, from_polynomial, from_table
from lic_exp.models.dhic.config import CLEAN
from lic_exp.models.dhic.convolution import Conv1x1, WeightedConv2d
from lic_exp.models.dhic.likelihood import DiscreteGaussian, training_nats
from lic_exp.models.dhic.spectral import atoms
from lic_exp.ops.bounds import lower_bound, upper_bound

SIZES = [(64, 64), (128, 192)]
AS_RELEASED = {
    "widths": [24, 20, 16, 12],
    "latent_channels": [10, 8, 6, 4],
    "stem_depth": 1,
    "encoder_depths": [1, 2, 1, 1],
    "entropy_depths": [1, 2, 0, 1],
    "entropy_depths_after": [1, 0, 1, 0],
    "decoder_depths": [1, 0, 1, 1],
    "decoder_depths_after": [0, 1, 1, 1],
    "merge_depth": 1,
    "ffn_ratio": 4,
    "ends": "weighted_3x3",
    "spectral_init": "random",
    "conditioning": "table",
    "compat": True,
}
"""The released graph with every part small and every width and depth of its own."""


def made(**overrides) -> DHIC:
    codec = lic_exp.create_model("dhic_tiny", **overrides)
    golden.fill(codec)
    codec.update()
    return codec.eval()


@pytest.fixture(scope="module", params=["released", "tiny"])
def codec(request):
    return made(**(AS_RELEASED if request.param == "released" else {}))


def nats(k: float, scale: float) -> float:
    model = DiscreteGaussian()
    return model.nats(torch.tensor([k]).double(), torch.tensor([scale]).double()).item()


def mass(k: float, scale: float) -> float:
    return 0.5 * (math.erf((k + 0.5) / scale / math.sqrt(2)) - math.erf((k - 0.5) / scale / math.sqrt(2)))


def test_evaluation_bounds_scale_and_probability():
    assert nats(1, 0.5) == pytest.approx(-math.log(mass(1, 0.5)), rel=1e-12)
    assert nats(1, 0.02) == nats(1, 0.11) == pytest.approx(-math.log(mass(1, 0.11)), rel=1e-4)
    assert nats(9, 1) == pytest.approx(-math.log(1e-9), rel=1e-6)
    assert nats(-9, 1) == nats(9, 1)


@pytest.mark.parametrize("distance", [0.0, 1.0, 4.0, 6.0, 40.0])
def test_training_falls_back_to_the_density(distance):
    r, mean, scale = (torch.tensor(value, requires_grad=True) for value in (distance + 0.25, 0.25, 1.0))
    found = training_nats(r, mean, scale)
    density = 0.5 * distance**2 + 0.5 * math.log(2 * math.pi)
    in_the_mass = mass(distance, 1) > 1e-6
    assert found.item() == pytest.approx(-math.log(mass(distance, 1)) if in_the_mass else density, rel=3e-4)
    found.backward()
    assert all(value.grad.isfinite() for value in (r, mean, scale))
    assert (r.grad > 0) == (distance > 0)


def test_training_rate_is_float32_in_any_precision():
    r, mean, scale = (torch.tensor(value, dtype=torch.float64) for value in (0.3, 0.1, 0.7))
    assert training_nats(r, mean, scale).dtype == torch.float32
    assert training_nats(*(value.bfloat16() for value in (r, mean, scale))).dtype == torch.float32


@pytest.mark.parametrize(("bounded", "outside", "passing"), [(upper_bound, 11.0, 1.0), (lower_bound, 9.0, -1.0)])
def test_bounds_let_a_gradient_lead_back_inside(bounded, outside, passing):
    x = torch.tensor([outside, 10.0, outside], requires_grad=True)
    y = bounded(x, torch.tensor([10.0]))
    assert y.tolist() == [10.0, 10.0, 10.0]
    y.backward(torch.tensor([passing, -passing, -passing]))
    assert x.grad.tolist() == [passing, -passing, 0.0]


def test_the_priors_logarithm_is_bounded_above():
    codec = made()
    block = codec.latent_blocks()[0]
    nn.init.zeros_(block.prior.weight)
    gains = codec._gains(torch.zeros(1, 3, 64, 64), 63)[0]
    for bias, log_deviation in ((50.0, 10.0), (-50.0, -2.3), (0.0, math.log1p(math.exp(2.3)) - 2.3)):
        nn.init.constant_(block.prior.bias, bias)
        deviation = block._prior(torch.zeros(1, 40, 1, 1), gains).scaled_deviation * gains.step
        torch.testing.assert_close(deviation.log(), torch.full_like(deviation, log_deviation))


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_coding_is_exact(codec, size):
    x = torch.cat((golden.image(*size), golden.image(*size).flip(1)))
    compressed = codec.compress(x, 20.5)
    assert compressed.quality == 20.5
    assert [len(images) for images in compressed.strings] == [2, 2, 2, 2]
    decoded = codec.decompress(replace(compressed, state=None))
    assert torch.equal(decoded, codec.reconstruct(compressed))
    assert decoded.std() > 0.01
    estimated = sum(bits.sum() for bits in codec(x, 20.5).bits.values()).item()
    assert sum(compressed.bits()) == pytest.approx(estimated, rel=0.15, abs=8 * 64)


@torch.no_grad()
def test_partial_pictures(codec):
    """From no scale to all, by estimate and from the first strings alone."""
    x = golden.image(128, 64)
    compressed = codec.compress(x, 30)
    pictures = [codec.partial(x, 30, scales=scales) for scales in range(5)]
    assert torch.equal(pictures[4], codec(x, 30).x_hat)
    for scales in (1, 2, 3):
        received = replace(compressed, strings=compressed.strings[:scales], state=None)
        assert torch.equal(codec.decompress(received), pictures[scales].clamp(0, 1))
        assert not torch.equal(pictures[scales], pictures[scales - 1])
    nothing_seen = codec.partial(1 - x, 30, scales=0)
    assert torch.equal(pictures[0], nothing_seen)
    with pytest.raises(ValueError, match=r"scales is 5.*0 to 4"):
        codec.partial(x, 30, scales=5)


@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_a_batch_of_qualities_is_each_by_itself(codec, training, monkeypatch):
    for block in codec.latent_blocks():
        monkeypatch.setattr(block.noise, "forward", torch.zeros_like)
    codec = copy.deepcopy(codec).double().train(training)
    x = torch.cat([golden.image(64, 128).roll(shift, 3) for shift in range(3)]).double()
    qualities = torch.tensor([0.0, 17.25, 63.0])
    together = codec(x, qualities)
    for number, quality in enumerate(qualities.tolist()):
        alone = codec(x[number : number + 1], quality)
        torch.testing.assert_close(together.x_hat[number], alone.x_hat[0])
        for name, bits in alone.bits.items():
            torch.testing.assert_close(together.bits[name][number], bits[0])
    assert torch.equal(codec(x).x_hat, codec(x, 63).x_hat)


@pytest.mark.parametrize(("quality", "told"), [(-0.1, "-0.1"), (63.5, "63.5"), ([1.0, 64.0], "64.0")])
def test_a_quality_outside_is_refused(quality, told):
    with pytest.raises(ValueError, match=rf"quality is .*{told}.* must lie in \[0, 63\]"):
        as_quality(torch.tensor(quality, dtype=torch.float64), 2, 63.0, torch.device("cpu"))
    with pytest.raises(ValueError, match=r"shape \(3,\).* one of 2 images"):
        as_quality(torch.zeros(3), 2, 63.0, torch.device("cpu"))


def test_between_the_rows_of_a_table_and_along_a_polynomial():
    table = torch.randn(64, 5, 1, 1, dtype=torch.float64)
    quality = as_quality(torch.tensor([0.0, 7.0, 7.25, 63.0]), 4, 63.0, torch.device("cpu"))
    expected = torch.stack((table[0], table[7], 0.75 * table[7] + 0.25 * table[8], table[63]))
    torch.testing.assert_close(from_table(table, quality), expected)
    for t, found in zip((-1, 2 * 7 / 63 - 1, 2 * 7.25 / 63 - 1, 1), from_polynomial(table[:3], quality), strict=True):
        torch.testing.assert_close(found, table[0] + table[1] * t + table[2] * t**2)


@pytest.mark.parametrize("conditioning", ["table", "smooth"])
def test_gains_before_training(conditioning):
    codec = lic_exp.create_model("dhic_tiny", conditioning=conditioning, initial_step=[0.25, 0.01])
    expected = torch.tensor([0.25, 0.05, 0.01]).reshape(3, 1, 1, 1)
    for gains in codec._gains(torch.zeros(3, 3, 64, 64), torch.tensor([0.0, 31.5, 63.0])):
        torch.testing.assert_close(gains.step, expected.expand_as(gains.step))
        for gain in (gains.encoder, gains.entropy, gains.decoder):
            assert torch.equal(gain, torch.ones_like(gain))


def test_latents_and_their_views(codec):
    codec = copy.deepcopy(codec).train()
    output = codec(golden.image(64, 64), 40)
    gains = codec._gains(golden.image(64, 64), 40)
    views = output.latent_views
    assert list(output.bits) == ["z1", "z2", "z3", "z4"]
    assert [latent.shape[-1] for latent in output.latents] == [1, 2, 4, 8]
    for scale, z in enumerate(output.latents):
        assert views["descaled"][scale] is z
        torch.testing.assert_close(z, views["scaled"][scale] * gains[scale].step)
        innovation = (z - views["prior_mean"][scale]) / gains[scale].step
        torch.testing.assert_close(innovation, innovation.round(), rtol=0, atol=1e-4)
        assert ((views["mean"][scale] - z).abs() <= 0.501 * gains[scale].step).all()
    (bias,) = views["bias"]
    assert bias is codec.em_bias
    sum(z.sum() for z in output.latents).backward()
    assert all(block.posterior.pc2.weight.grad.abs().max() > 0 for block in codec.latent_blocks())


def test_the_straight_through_estimator_and_the_scale_rule():
    """dz/dm = 1 exactly; and the prior's deviation is divided by s once, or twice for released weights."""
    for compat, power in ((True, 2), (False, 1)):
        codec = made(**AS_RELEASED | {"compat": compat}).train()
        block, f, tap = codec.latent_blocks()[0], torch.randn(1, 24, 1, 1), torch.randn(1, 24, 1, 1)
        gains = codec._gains(torch.zeros(1, 3, 64, 64), 12)[0]
        _, latent = block(f, tap, gains)
        (gradient,) = torch.autograd.grad(latent.z.sum(), latent.mean)
        torch.testing.assert_close(gradient, torch.ones_like(gradient))
        _, a = block.prior(f * gains.entropy).chunk(2, 1)
        expected = (F.softplus(a + 2.3) - 2.3).exp() / gains.step**power
        torch.testing.assert_close(block._prior(f, gains).scaled_deviation, expected)


@torch.no_grad()
def test_fused_blocks_compute_the_same(codec):
    x, fused = golden.image(128, 64), copy.deepcopy(codec).fuse()
    branches = [name for name, _ in fused.named_parameters() if "conv1" in name]
    assert not branches
    torch.testing.assert_close(fused(x, 9).x_hat, codec(x, 9).x_hat, rtol=0, atol=1e-5)
    compressed = fused.compress(x, 9)
    assert torch.equal(fused.decompress(replace(compressed, state=None)), fused.reconstruct(compressed))


def test_training_and_evaluation_agree_on_the_depthwise_branches():
    mixer = made().dec_blocks[1].mixer.double()
    x = torch.randn(2, mixer.conv.in_channels, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(mixer.train()(x), mixer.eval()(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_matrix_product_is_the_convolution(dtype):
    layer, plain = Conv1x1(6, 10).to(dtype), nn.Conv2d(6, 10, 1, dtype=dtype)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 6, 5, 3, dtype=dtype)
    y = layer(x.contiguous(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, plain(x))
    assert torch.equal(layer(x), plain(x)), "contiguous memory takes torch's own way"


def test_the_weighted_kernel():
    layer = WeightedConv2d(1, 1)
    nn.init.ones_(layer.weight)
    assert layer(F.pad(torch.ones(1, 1, 1, 1), (1, 1, 1, 1)))[0, 0].tolist() == [
        [0.5625, 0.75, 0.5625],
        [0.75, 1.0, 0.75],
        [0.5625, 0.75, 0.5625],
    ]


def test_a_pyramid_is_a_codec_before_training(photos):
    """Every latent says what the coarser ones have not, so each one decoded brings the picture nearer."""
    (_, x), *_ = folder_images(str(photos / "train"))
    codec = lic_exp.create_model("dhic_tiny").eval()
    x = codec.pad(x)
    pictures = [codec.partial(x, scales=scales) for scales in range(5)]
    levels = [psnr(picture.clamp(0, 1), x).item() for picture in pictures]
    assert torch.allclose(pictures[0], torch.full_like(x, 0.5), atol=1e-6)
    assert levels == sorted(levels)
    assert levels[-1] > levels[0] + 10


@torch.no_grad()
def test_a_pyramid_codes_residuals():
    """Latents are the tap less what has been said, up to half of the quantisation step."""
    codec = lic_exp.create_model("dhic_tiny").eval()
    x = torch.rand(1, 3, 128, 128)
    said = torch.zeros(1, 24, 2, 2)
    for tap, z in zip(codec.encoder(x)[:3], codec(x).latents, strict=False):
        torch.testing.assert_close(z, tap[:, :24] - said, rtol=0, atol=0.0501)
        said = (said + z).repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.mark.parametrize("ends", ["1x1", "weighted_3x3"])
@torch.no_grad()
def test_spectral_ends_keep_the_lowest_frequencies(ends):
    """Behind each other they are a projection: what is flat in tiles survives, the highest frequency does not."""
    torch.testing.assert_close(atoms() @ atoms().T, torch.eye(192, dtype=torch.float64))
    analysis, synthesis = lic_exp.create_model("dhic_tiny", ends=ends).ends()

    def project(x: Tensor) -> Tensor:
        return F.pixel_shuffle(synthesis(analysis(F.pixel_unshuffle(x, 8))), 8)

    flat = torch.rand(1, 3, 2, 2).repeat_interleave(8, 2).repeat_interleave(8, 3)
    torch.testing.assert_close(project(flat), flat, rtol=0, atol=1e-5)
    checks = torch.ones(1, 3, 16, 16) * (torch.arange(16)[:, None] + torch.arange(16)).remainder(2)
    torch.testing.assert_close(project(checks).mean(), checks.mean(), rtol=0, atol=1e-4)
    assert project(checks).std() < 0.5 * checks.std()


def test_weights_remember_the_scale_rule(tmp_path):
    """Neither kind is read as the other: not from a file, in part or whole, nor by load_state_dict."""
    clean, compat = made(**AS_RELEASED | {"compat": False}), made(**AS_RELEASED)
    assert set(clean.state_dict()) - set(compat.state_dict()) == {CLEAN}
    with pytest.raises(ValueError, match=r"divide the prior's deviation by s .*set model.compat=false"):
        compat.load_state_dict(clean.state_dict())
    with pytest.raises(ValueError, match=r"by s\^2 .*as the released DHIC.*set model.compat=true"):
        clean.load_state_dict(compat.state_dict())
    file = tmp_path / "released.pth.tar"
    torch.save({"state_dict": compat.state_dict()}, file)
    for partial in (False, True):
        with pytest.raises(ConfigError, match=r"model\.weights.*set model.compat=true"):
            made(**AS_RELEASED | {"compat": False}, weights=str(file), partial_weights=partial)
    loaded = lic_exp.create_model("dhic_tiny", **AS_RELEASED, weights=str(file))
    assert torch.equal(loaded.em_bias, compat.em_bias)


@torch.no_grad()
def test_a_state_dict_fits_with_and_without_tables(codec):
    """Tables in a file are passed over, and a codec that has none takes a state that does."""
    x, bare = golden.image(64, 64), copy.deepcopy(codec)
    for block in bare.latent_blocks():
        block.discrete_gaussian = DiscreteGaussian()
    foreign = {key: value + 1 if key.endswith("_offset") else value for key, value in codec.state_dict().items()}
    bare.load_state_dict(foreign, strict=True)
    assert bare.latent_blocks()[0].discrete_gaussian._offset.numel() == 0
    assert bare.compress(x, 5).strings == codec.compress(x, 5).strings


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"widths": [8, 8, 8]}, "widths is .* needs 4 entries"),
        ({"entropy_depths_after": [0, 0, 0, 1]}, "must end in 0"),
        ({"ffn_ratio": 3}, "ffn_ratio is 3, but must be even"),
        ({"q_num": 1}, "q_num is 1"),
    ],
)
def test_options_that_make_no_codec(overrides, told):
    with pytest.raises(ConfigError, match=told):
        lic_exp.create_model("dhic_tiny", **overrides)


@pytest.mark.parametrize(
    ("name", "parameters", "kmacs"),
    [
        ("dhic", 222_649_088, 1085.47),
        ("dhic_paper", 106.93e6, 977.73),
        ("dhic_mid", 91_039_936, 650),
        ("dhic_low", 53_156_256, 356),
    ],
)
def test_sizes(name, parameters, kmacs):
    """Multiplications of all convolutions per pixel, un-fused, against the release and the paper."""
    seen = []

    def count(layer: nn.Conv2d, _: object, y: Tensor) -> None:
        seen.append(y.numel() * layer.weight[0].numel())

    with torch.device("meta"):
        codec = lic_exp.create_model(name).eval()
        for module in codec.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        codec(torch.empty(1, 3, 256, 256))
    exactly = name == "dhic"
    assert sum(p.numel() for p in codec.parameters()) == pytest.approx(parameters, rel=0 if exactly else 0.02)
    assert sum(seen) / 256**2 / 1e3 == pytest.approx(kmacs, rel=1e-5 if exactly else 0.02)
