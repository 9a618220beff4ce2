"""The released DHIC against vectors of its reference implementation; it has 222 M parameters, so mostly slow."""

import json
import math
import zlib
from dataclasses import replace

import golden_dhic as golden
import numpy as np
import pytest
import torch

import lic_exp

Q, TRAIN_Q, TRAIN_LMBDA = 3, 20, 769.2461547851562


def test_keys_are_the_released_ones():
    with torch.device("meta"):
        codec = lic_exp.create_model("dhic")
    parameters = dict(codec.named_parameters())
    own = {
        key: [list(value.shape), str(value.dtype).removeprefix("torch."), "param" if key in parameters else "buffer"]
        for key, value in codec.state_dict().items()
    }
    assert list(own) == list(golden.keys())
    assert own == golden.keys()
    assert sum(parameter.numel() for parameter in codec.parameters()) == 222_649_088


@pytest.fixture(scope="module")
def codec():
    codec = lic_exp.create_model("dhic").eval()
    golden.fill(codec)
    codec.update()
    return codec


@pytest.fixture(scope="module")
def expected():
    return golden.expected()


@pytest.mark.slow
@torch.no_grad()
def test_streams_in_float32_are_the_references(codec, expected):
    compressed = codec.float().eval().compress(golden.image(), Q)
    strings = [string for (string,) in compressed.strings]
    assert [len(string) for string in strings] == list(expected["f32.stream_bytes"])
    assert [f"{zlib.crc32(string):08x}" for string in strings] == ["d42edf22", "7dba89b2", "c2cf12de", "a758b069"]
    decoded = codec.decompress(replace(compressed, state=None))
    assert torch.equal(decoded, codec.reconstruct(compressed))


@pytest.mark.slow
@torch.no_grad()
def test_evaluation_in_float64_is_the_references(codec, expected):
    codec.double().eval()
    x = golden.image().double()
    checksum = sum(parameter.square().sum() for parameter in codec.parameters())
    assert checksum.item() == pytest.approx(float(expected["param_checksum_sum_sq"]), rel=1e-12)
    output = codec(x, Q)
    steps = [gains.step for gains in codec._gains(x, Q)]
    views = (output.latent_views[name] for name in ("scaled", "mean", "prior_mean"))
    for scale, (step, scaled, mean, prior_mean) in enumerate(zip(steps, *views, strict=True), 1):
        case = f"f64.qp{Q}.z{scale}"
        bpp = output.bits[f"z{scale}"].sum().item() / 256**2
        assert bpp == pytest.approx(float(expected[f"{case}.bpp"]), rel=1e-9)
        assert torch.equal((scaled - prior_mean / step).round().to(torch.int16), _tensor(expected, f"{case}.symbols"))
        sums = [prior_mean.sum().item(), mean.sum().item(), output.latents[scale - 1].square().sum().item()]
        assert sums == pytest.approx(list(expected[f"{case}.sums"][[0, 2, 6]]), rel=1e-9)
    x_hat_sums = [float(expected[f"f64.qp{Q}.x_hat.{name}"]) for name in ("sum", "sqsum")]
    assert _sums(output.x_hat) == pytest.approx(x_hat_sums, rel=1e-9)
    assert torch.equal(output.x_hat[..., ::4, ::4].float(), _tensor(expected, f"f64.qp{Q}.x_hat.s4_f32"))
    for (name, bits), scale in zip(codec.bits_by_scale(output.bits).items(), range(1, 5), strict=True):
        assert name == f"z{scale}"
        assert bits.item() / 256**2 == pytest.approx(float(expected[f"f64.qp{Q}.z{scale}.bpp"]), rel=1e-9)
    for scales in range(4):
        partial = codec.partial(x, Q, scales=scales)
        measured = [*_sums(partial), (partial - x).square().mean().item()]
        assert measured == pytest.approx(list(expected[f"f64.qp{Q}.partial{scales}.sums"]), rel=1e-9)


@pytest.mark.slow
def test_training_in_float64_is_the_references(codec, expected):
    codec.double().train()
    golden.make_noise_golden(codec)
    x = golden.image()[..., :128, :128].double()
    output = codec(x, TRAIN_Q)
    nats = [bits * math.log(2) for bits in output.bits.values()]
    for scale, found in enumerate(nats, 1):
        assert found.sum().item() == pytest.approx(float(expected[f"train.z{scale}.kl_nats"]), rel=1e-9)
    bits = sum(found.sum() for found in output.bits.values())
    mse = (output.x_hat - x).square().mean()
    (bits / 128**2 + TRAIN_LMBDA * mse).backward()
    for key, norm in json.loads(str(expected["train.grad_norms"])).items():
        assert codec.get_parameter(key).grad.norm().item() == pytest.approx(norm, rel=1e-9, abs=0), key
    # The reference sums its rate in float32.
    bpp = sum(found.detach().float().sum() for found in nats) * math.log2(math.e) / 128**2
    assert bpp.item() + TRAIN_LMBDA * mse.item() == pytest.approx(float(expected["train.loss"]), rel=1e-9)


def _sums(x: torch.Tensor) -> list[float]:
    return [x.sum().item(), x.square().sum().item()]


def _tensor(expected: dict[str, np.ndarray], name: str) -> torch.Tensor:
    return torch.from_numpy(expected[name])
