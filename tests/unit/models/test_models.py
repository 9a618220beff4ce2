import math
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import lic_exp
from lic_exp.component_schema import describe
from lic_exp.config.options import options
from lic_exp.models.base import Codec, CodecOutput, Compressed
from lic_exp.models.compressai_zoo import ZooCodec, bits_of
from lic_exp.models.weights import load_weights

ZOO = [name for name in options("model") if name.endswith("_tiny")]


def batch(codec: Codec) -> Tensor:
    """Far outside [0, 1], since the latents of an untrained codec would round to zeros."""
    side = codec.facts.downsampling_factor
    return 100 * torch.rand(2, 3, 2 * side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=ZOO)
def codec(request):
    codec = lic_exp.create_model(request.param)
    if not isinstance(codec, ZooCodec):
        pytest.skip("no model of CompressAI's")
    return codec


@pytest.fixture
def original(codec):
    """CompressAI's own model with the same weights: neither constructor nor state dict has other names."""
    target = f"{type(codec).__module__}.{type(codec).__qualname__}"
    model = codec.zoo(**{width: getattr(codec, width) for width in describe(target).options})
    model.load_state_dict(codec.state_dict(), strict=True)
    return model


@pytest.mark.parametrize("training", [True, False])
def test_the_adapter_computes_what_compressai_computes(codec, original, training):
    codec.train(training)
    original.train(training)
    x = batch(codec)
    with torch.no_grad():
        torch.manual_seed(0)  # training mode adds noise
        ours = codec(x)
        torch.manual_seed(0)
        theirs = original(x)
    assert torch.equal(ours.x_hat, theirs["x_hat"])
    assert set(ours.bits) == set(theirs["likelihoods"])
    for name, likelihoods in theirs["likelihoods"].items():
        assert torch.equal(ours.bits[name], -torch.log2(likelihoods))
        torch.testing.assert_close(ours["likelihoods"][name], likelihoods, rtol=1e-5, atol=0)


def test_its_bitstreams_are_compressais(codec, original):
    """Either decodes what the other has coded."""
    codec.eval().update()
    original.eval().update(force=True)
    x = batch(codec)[:1, :, : codec.facts.downsampling_factor]
    with torch.no_grad():
        ours, theirs = codec.compress(x), original.compress(x)
        assert ours.strings == theirs["strings"]
        assert torch.equal(codec.decompress(ours), original.decompress(theirs["strings"], theirs["shape"])["x_hat"])


def test_latents_are_the_rounded_ones_in_eval_mode():
    codec = lic_exp.create_model("factorized_tiny").eval()
    x = batch(codec)
    with torch.no_grad():
        (y_hat,) = codec(x).latents
        medians = codec.entropy_bottleneck._get_medians().detach().reshape(1, -1, 1, 1)
        expected = torch.round(codec.g_a(x) - medians) + medians
    assert torch.equal(y_hat, expected)


def test_entropy_models_stay_in_float32_under_autocast():
    codec = lic_exp.create_model("mean_scale_hyperprior_tiny")
    seen = []
    codec.h_s.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    codec.g_s.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        codec(batch(codec))
    assert seen == [torch.float32, torch.bfloat16]


def test_aux_loss_reaches_the_quantiles_alone(codec):
    codec.zero_grad()
    codec.aux_loss().backward()
    moved = {name for name, p in codec.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert moved == {"entropy_bottleneck.quantiles"}
    codec.zero_grad()


def test_bits_of_probabilities():
    probabilities = torch.tensor([1.0, 0.5, 1e-9], dtype=torch.float64)
    bits = bits_of(probabilities)
    assert bits.dtype == torch.float64
    torch.testing.assert_close(bits, torch.tensor([0.0, 1.0, 9 / math.log10(2)], dtype=torch.float64))
    for fewer in (torch.float32, torch.bfloat16, torch.float16):
        assert bits_of(probabilities.to(fewer)).dtype == torch.float32


@torch.no_grad()
@pytest.mark.parametrize("name", ZOO)
def test_output_reads_like_compressais_dictionary(name):
    codec = lic_exp.create_model(name).eval()
    output = codec(batch(codec))
    assert isinstance(output, Mapping)
    assert "x_hat" in output
    assert "likelihoods" in output
    assert "y" not in output
    assert ["x_hat"] not in [output.keys()]
    assert list(output.keys()) == list(output) == ["x_hat", "likelihoods", "bits", "latents", "latent_views"]
    assert len(output) == 5
    held = dict(output)
    assert held["x_hat"] is output["x_hat"] is output.get("x_hat") is output.x_hat
    assert {**output}["latents"] is output.latents
    assert [key for key, _ in output.items()] == list(output)
    assert all(torch.equal(held["likelihoods"][key], torch.exp2(-bits)) for key, bits in held["bits"].items())
    assert output.get("y_hat") is None


@pytest.mark.parametrize("key", ["y_hat", "keys", "__class__", "_names", "", None, 0])
def test_what_an_output_does_not_have_is_a_key_error(key):
    x_hat = torch.rand(1, 3, 4, 4)
    output = CodecOutput(x_hat, {"y": torch.tensor([0.0, 1.0, 2.0])}, (x_hat,))
    assert output["likelihoods"]["y"].tolist() == [1.0, 0.5, 0.25]
    assert key not in output
    with pytest.raises(KeyError, match="CodecOutput has x_hat, likelihoods, bits, latents, latent_views"):
        output[key]


def test_compressed_reads_like_compressais_dictionary():
    codec = lic_exp.create_model("factorized_tiny").eval()
    codec.update()
    compressed = codec.compress(batch(codec)[:1])
    assert list(compressed) == ["strings", "shape", "state", "quality", "near_lines"]
    assert compressed["strings"] is compressed.strings
    assert dict(compressed)["shape"] == compressed.shape
    with pytest.raises(KeyError, match="Compressed has strings, shape, state, quality"):
        compressed["bits"]


def test_a_codecs_own_fields_are_keys_too():
    @dataclass(frozen=True)
    class Masked(CodecOutput):
        mask: Tensor | None = None

    x_hat = torch.rand(1, 3, 4, 4)
    output = Masked(x_hat, {}, (x_hat,), mask=x_hat)
    assert output["mask"] is x_hat
    assert list(output)[-1] == "mask"


def test_compressed_bits_are_counted_per_image():
    compressed = Compressed([[b"abc", b"d"], [b"", b"ef"]], (1, 1))
    assert compressed.bits() == [8 * 3, 8 * 3]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        Compressed([[b"abc", b"d"], [b""]], (1, 1)).bits()


def test_padding_keeps_the_image_in_the_top_left_corner():
    codec = lic_exp.create_model("factorized_tiny")
    x = torch.rand(1, 3, 17, 30)
    padded = codec.pad(x)
    assert padded.shape == (1, 3, 32, 32)
    assert torch.equal(padded[..., :17, :30], x)


class TestWeights:
    @pytest.fixture
    def trained(self):
        return lic_exp.create_model("factorized_tiny", seed=3)

    @pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"step": 3, "codec": state}])
    def test_a_state_dict_or_a_checkpoint_of_ours(self, trained, tmp_path, wrap):
        torch.save(wrap(trained.state_dict()), tmp_path / "weights.pt")
        fresh = lic_exp.create_model("factorized_tiny")
        load_weights(fresh, tmp_path / "weights.pt", partial=False)
        assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), trained.parameters(), strict=True))

    def test_those_of_an_updated_codec(self, trained, tmp_path):
        """After `update`, a state dict has the entropy coder's tables."""
        trained.update()
        torch.save(trained.state_dict(), tmp_path / "weights.pt")
        fresh = lic_exp.create_model("factorized_tiny")
        load_weights(fresh, tmp_path / "weights.pt", partial=False)
        assert torch.equal(fresh.g_a[0].weight, trained.g_a[0].weight)

    def test_those_of_another_model(self, trained, tmp_path):
        torch.save(trained.state_dict(), tmp_path / "weights.pt")
        with pytest.raises(ValueError, match=r"(?s)does not fit Hyperprior: .*h_a\.0\.weight"):
            load_weights(lic_exp.create_model("hyperprior_tiny"), tmp_path / "weights.pt", partial=False)

    def test_a_file_that_would_run_code(self, trained, tmp_path):
        torch.save(trained, tmp_path / "weights.pt")
        with pytest.raises(ValueError, match="holds code that would be run"):
            load_weights(trained, tmp_path / "weights.pt", partial=False)

    def test_no_file(self, trained, tmp_path):
        with pytest.raises(ValueError, match="cannot be read: No such file"):
            load_weights(trained, tmp_path / "missing.pt", partial=False)
