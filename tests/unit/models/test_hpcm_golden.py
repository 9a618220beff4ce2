"""HPCM against vectors of the reference in float64, and the keys of every variant."""

import json
import math
import zlib
from dataclasses import replace

import golden_hpcm as golden
import numpy as np
import pytest
import released_hpcm as released
import torch

import lic_exp
from lic_exp.models.hpcm.cdf_tables import coding_tables, scale_table
from lic_exp.models.hpcm.compat import CORRECTED

PARAMETERS = {"base": 68_505_299, "large": 89_718_803, "phi": 63_582_419, "1b": 1_000_328_003}
PIXELS = 256**2
LMBDA = 0.013


@pytest.mark.parametrize("variant", golden.VARIANTS)
def test_keys_are_the_released_ones(variant):
    """And the corrected mode has one more."""
    for compat, more in ((True, {}), (False, {CORRECTED: []})):
        with torch.device("meta"):
            codec = lic_exp.create_model(f"hpcm_{variant}", compat=compat)
        own = {key: list(value.shape) for key, value in codec.state_dict().items()}
        assert own == golden.keys(variant) | more
        assert sum(parameter.numel() for parameter in codec.parameters()) == PARAMETERS[variant]


@pytest.fixture(scope="module")
def expected():
    return golden.expected()


def test_tables_are_the_references(expected):
    arrays, _ = expected
    z_scales = np.exp(0.4 * golden.draws("scales_hyper", 256)).astype(np.float32)
    for name, scales in (("y", scale_table()), ("z", torch.from_numpy(z_scales))):
        for table, wanted in zip(coding_tables(scales, compat=True), ("cdf", "cdf_len", "offset"), strict=True):
            np.testing.assert_array_equal(table.numpy(), arrays[f"{wanted}_{name}"])


@pytest.fixture(scope="module")
def codec():
    codec = lic_exp.create_model("hpcm_base", compat=True).eval()
    golden.fill(codec)
    codec.update()
    return codec.double()


@pytest.mark.slow
@torch.no_grad()
def test_evaluation_is_the_references(codec, expected):
    arrays, sums = expected
    x = golden.image().double()
    output = codec.eval()(x)
    assert torch.equal(output.x_hat.float(), torch.from_numpy(arrays["x_hat"]))
    assert output.x_hat.sum().item() == pytest.approx(sums["sum64.x_hat"], rel=1e-9)
    assert output.latents[-1].sum().item() == pytest.approx(sums["sum64.y_hat"], rel=1e-9)
    for name in ("y", "z"):
        assert output.bits[name].sum().item() / PIXELS == pytest.approx(sums["eval64"][f"{name}_bpp"], rel=1e-9)
        assert output.likelihoods[name].sum().item() == pytest.approx(sums[f"sum64.{name}_lik"], rel=1e-9)
        likelihoods = torch.from_numpy(arrays[f"{name}_lik"])
        torch.testing.assert_close(output.likelihoods[name].float(), likelihoods, rtol=2e-7, atol=1e-11)
    assert torch.equal(codec.partial(x, scales=3).float(), torch.from_numpy(arrays["x_hat"]))
    bits = codec.bits_by_scale(output.bits)
    assert bits.pop("z").item() / PIXELS == pytest.approx(sums["eval64"]["z_bpp"], rel=1e-9)
    assert sum(bits.values()).item() / PIXELS == pytest.approx(sums["eval64"]["y_bpp"], rel=1e-9)
    grid, y, z = codec._analysed(x)
    seen = []

    def see(scale, mask, scales, means):
        symbols = (latents[scale] - means).round()
        seen.append((scale, mask, symbols))
        return symbols + means

    latents = codec._at_scales(y, grid)
    walk = codec.walk(codec._hyper((z - codec.means_hyper).round() + codec.means_hyper), grid, see)
    scales, means = walk.params.chunk(2, 1)
    assert len(seen) == 11
    assert torch.equal((y - means).round().to(torch.int16)[0], torch.from_numpy(arrays["y_q"])[0])
    assert scales.sum().item() == pytest.approx(sums["sum64.scales_y"], rel=1e-9)
    assert torch.equal(scales.float(), torch.from_numpy(arrays["scales_y"]))


@pytest.mark.slow
@torch.no_grad()
def test_streams_are_the_references(codec, expected):
    arrays, _ = expected
    compressed = codec.eval().compress(golden.image().double())
    assert [string for (string,) in compressed.strings] == [arrays[f"{name}_string"].tobytes() for name in "yz"]
    decoded = codec.decompress(replace(compressed, state=None))
    assert torch.equal(decoded, codec.reconstruct(compressed))
    assert torch.equal(decoded.float(), torch.from_numpy(arrays["x_hat"]).clamp(0, 1))


@pytest.mark.slow
def test_training_is_the_references(codec, expected, monkeypatch):
    _, sums = expected
    monkeypatch.setattr(codec.noise, "forward", torch.zeros_like)
    x = golden.image().double()
    output = codec.train()(x)
    bpp = {name: bits.sum() / PIXELS for name, bits in output.bits.items()}
    loss = LMBDA * 255**2 * (output.x_hat - x).square().mean() + bpp["y"] + bpp["z"]
    loss.backward()
    wanted = sums["train64_zero_noise"]
    for found, name in ((loss, "loss"), (bpp["y"], "y_bpp"), (bpp["z"], "z_bpp")):
        assert found.item() == pytest.approx(wanted[name], rel=1e-9)
    assert set(sums["grad64"]) == {name for name, _ in codec.named_parameters()}
    for key, (_, norm) in sums["grad64"].items():
        found = codec.get_parameter(key).grad.norm().item()
        assert found < 1e-12 if key.endswith("conv_k.bias") else found == pytest.approx(norm, rel=1e-7, abs=0), key
    total = math.sqrt(sum(parameter.grad.square().sum().item() for parameter in codec.parameters()))
    assert total == pytest.approx(sums["grad_total_norm"], rel=1e-9)


@pytest.fixture(scope="module", params=list(released.CASES))
def other(request):
    """(variant, codec with the golden weights, what the released code makes of its case)."""
    codec = lic_exp.create_model(f"hpcm_{request.param}", compat=True).eval()
    golden.fill(codec)
    codec.update()
    return request.param, codec.double(), json.loads((golden.FOLDER / "released.json").read_text())[request.param]


@pytest.mark.slow
@torch.no_grad()
def test_oblong_images_and_batches_are_the_released_codes(other):
    variant, codec, wanted = other
    x = released.images(*released.CASES[variant])
    output = codec.eval()(x)
    assert output.x_hat.sum().item() == pytest.approx(wanted["x_hat_sum"], rel=1e-9)
    assert output.x_hat.square().sum().item() == pytest.approx(wanted["x_hat_square_sum"], rel=1e-9)
    for name, bits in wanted["bits"].items():
        assert output.bits[name].sum().item() == pytest.approx(bits, rel=1e-9)
    compressed = codec.compress(x[:1])
    found = [{"bytes": len(string), "crc32": zlib.crc32(string)} for (string,) in compressed.strings]
    assert found == wanted["strings"]
    assert torch.equal(codec.decompress(replace(compressed, state=None)), codec.reconstruct(compressed))


@pytest.mark.slow
@pytest.mark.soak
def test_their_training_is_the_released_codes(other, monkeypatch):
    variant, codec, wanted = other
    monkeypatch.setattr(codec.noise, "forward", torch.zeros_like)
    x = released.images(*released.CASES[variant])
    output = codec.train()(x)
    bits = sum(values.sum() for values in output.bits.values())
    loss = released.LMBDA * 255**2 * (output.x_hat - x).square().mean() + bits / (x.numel() / 3)
    loss.backward()
    assert loss.item() == pytest.approx(wanted["loss"], rel=1e-9)
    for name, parameter in codec.named_parameters():
        norm = wanted["gradient_norms"][name]
        if not name.endswith("conv_k.bias"):
            assert parameter.grad.norm().item() == pytest.approx(norm, rel=1e-7, abs=0), name
