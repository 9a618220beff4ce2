"""Code that was written for CompressAI's models takes ours: what it calls, and what it does with what it gets."""

import pickle

import pytest
import torch
from compressai.layers import MaskedConv2d
from compressai.losses import RateDistortionLoss

import lic_exp

ZOO = [name for name in lic_exp.list_models() if name.endswith("_tiny") and name not in ("dhic_tiny", "hpcm_tiny")]
MODELS = [*ZOO, "dhic_tiny", "hpcm_tiny"]


@pytest.fixture(scope="module", params=MODELS)
def codec(request):
    """Every family of ours, ready to code."""
    made = lic_exp.create_model(request.param).eval()
    made.update()
    return made


@pytest.fixture(scope="module")
def x(codec):
    side = codec.facts.downsampling_factor
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_bytes_are_decoded_from_strings_and_shape(codec, x):
    """The loop of CompressAI's evaluation, batch and all, through a file or not."""
    out = codec.compress(x)
    rate = {"quality": out["quality"]} if codec.facts.variable_rate else {}
    picture = codec.decompress(out)
    assert isinstance(picture, torch.Tensor)
    strings, shape = pickle.loads(pickle.dumps((out["strings"], out["shape"])))
    for given, named in (
        ((strings, shape), {}),
        ((strings, torch.Size(shape)), {}),
        ((strings,), {"shape": shape}),
        ((), {"strings": strings, "shape": shape}),
    ):
        decoded = codec.decompress(*given, **named, **rate)
        assert list(decoded) == ["x_hat"]
        assert torch.equal(decoded["x_hat"], picture)
    assert out["strings"] == strings


@torch.no_grad()
def test_a_forward_pass_is_read_as_a_dictionary(codec, x):
    out = codec(x)
    assert "x_hat" in out
    assert "y_hat" not in out
    assert {"x_hat", "likelihoods"} <= set(out.keys())
    assert {**out}["x_hat"] is dict(out)["x_hat"] is out.get("x_hat") is out["x_hat"]
    assert out.get("nothing", 3) == 3
    assert [key for key, _ in out.items()] == list(out)
    assert len(list(out.values())) == len(out)
    likelihoods = out["likelihoods"]
    assert likelihoods.keys() == out["bits"].keys()
    losses = RateDistortionLoss(lmbda=0.01)(out, x)
    bits = sum(values.sum() for values in out.bits.values())
    assert losses["bpp_loss"].item() == pytest.approx(bits.item() / (2 * x.shape[-1] ** 2), rel=1e-4)
    assert losses["mse_loss"].item() == pytest.approx((out.x_hat - x).square().mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (([[b"a"]],), {}),
        ((), {}),
        ((b"abc", (1, 1)), {}),
        (([b"abc"], (1, 1)), {}),
        (([[b"a"]], (1, 1)), {"size": 3}),
        ((None, (1, 1)), {}),
    ],
)
def test_anything_else_is_refused_with_both_forms(codec, given, named):
    with pytest.raises(TypeError, match=r'takes what compress returned, or .*decompress\(out\["strings"\]'):
        codec.decompress(*given, **named)


def test_a_quality_is_of_a_codec_that_has_several(codec, x):
    out = codec.compress(x[:1])
    if not codec.facts.variable_rate:
        with pytest.raises(TypeError, match="has one rate, and decompress no quality to be told"):
            codec.decompress(out["strings"], out["shape"], quality=3.0)
        return
    lower = codec.compress(x[:1], quality=5.0)
    decoded = codec.decompress(lower["strings"], lower["shape"], quality=5.0)["x_hat"]
    assert torch.equal(decoded, codec.decompress(lower))
    highest = codec.decompress(out["strings"], out["shape"])["x_hat"]
    assert torch.equal(highest, codec.decompress(out))


@pytest.mark.parametrize("name", ["joint_autoregressive_tiny", "cheng2020_anchor_tiny"])
def test_a_context_is_compressais_and_stays_where_it_is(name):
    """Its own has new memory after every forward pass."""
    context = lic_exp.create_model(name).context_prediction
    theirs = MaskedConv2d(context.in_channels, context.out_channels, 5, padding=2, stride=1)
    theirs.load_state_dict(context.state_dict())
    place, y = context.weight.data_ptr(), torch.randn(2, context.in_channels, 8, 8)
    found, expected = (one(y) for one in (context, theirs))
    for one in (found, expected):
        one.square().sum().backward()
    assert torch.equal(found, expected)
    assert torch.equal(context.weight, theirs.weight)
    assert torch.equal(context.weight.grad, theirs.weight.grad)
    assert context.weight.data_ptr() == place
