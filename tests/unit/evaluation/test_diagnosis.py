"""The diagnosis of codecs whose scales are known, and of the shipped ones."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scale_toys import Banded, Copying, Independent, photos
from training_parts import SmallCodec, ThreeScales

import lic_exp
from analysis.spectral_bands import BLANK_BELOW, band_shares, centroid, in_common
from lic_exp.evaluation.diagnosis import check_diagnosable, diagnose
from lic_exp.evaluation.diagnosis_files import ARRAYS, BANDS, read_diagnosis
from lic_exp.evaluation.rates import Rate
from lic_exp.metrics import mse
from lic_exp.models.hpcm.codec import HPCM
from lic_exp.ops.bands import LUMA_CHROMA
from lic_exp.records import SCHEMA_VERSION, RecordError

CPU = torch.device("cpu")


def diagnosed(codec, images, rates=None):
    return diagnose(codec, images, rates, CPU, step=7)


@pytest.mark.parametrize("edges", [(0, 0.25, 1), (0, 0.125, 0.5, 1), (0, 0.0625, 0.1875, 0.5, 1.0)], ids=len)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96)])
def test_scales_with_bands_of_their_own_show_exactly_those(edges, height, width):
    found = diagnosed(Banded(edges), photos(2, height, width))
    shares = band_shares(found, 0)
    starts = np.arange(BANDS) / BANDS
    for scale, (low, high) in enumerate(pairwise(edges), 1):
        own = (starts >= low) & (starts < high)
        for kind in range(2):
            np.testing.assert_allclose(shares.overlap[scale, kind][own], 1, atol=1e-5)
            assert np.isnan(shares.overlap[scale, kind][~own]).all()
            np.testing.assert_allclose(shares.energy[scale, kind], own, atol=1e-6)
            np.testing.assert_allclose(shares.signed[scale, kind], own, atol=1e-5)
        middle = (low + high) / 2
        assert centroid(shares, found.about["edges"])[scale] == pytest.approx(middle, abs=0.5 * (high - low))
    common = in_common(found.products[0])[1:, 1:]
    assert np.isnan(common[0]).all()
    np.testing.assert_allclose(common[1:, 1:], np.eye(len(edges) - 1), atol=1e-3)
    np.testing.assert_allclose(shares.error[-1], 0, atol=1e-5)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_scale_that_copies_adds_nothing_and_is_foretold(noise):
    found = diagnosed(Copying(noise), photos(9, 64, 96))
    shares = band_shares(found, 0)
    assert np.isnan(shares.overlap[2]).all()
    assert shares.strength[2].max() < BLANK_BELOW
    assert found.foretold[0, 0] >= 0.9
    assert found.about["unforetold"] == ""
    assert diagnosed(Independent(noise), photos(9, 64, 96)).foretold[0, 0] < 0.1


RATES = [Rate(5.0, 0.01), Rate(40.0, 0.1)]


def livened(name):
    """A shipped model, in train mode, whose latents are more than zeros."""
    torch.manual_seed(0)
    codec = lic_exp.create_model(name).train()
    with torch.no_grad():
        for key, parameter in codec.named_parameters():
            if name != "dhic_tiny" and parameter.dim() == 4 and key.startswith(("g_a", "h_a")):
                parameter.mul_(2)
    return codec


@pytest.fixture(scope="module", params=["dhic_tiny", "hpcm_tiny", "toy"])
def shipped(request):
    """A codec, images, rates, and the diagnosis of these."""
    codec = Banded((0, 0.1, 0.4, 1)).train() if request.param == "toy" else livened(request.param)
    images, rates = photos(2, 120, 128), RATES if codec.facts.variable_rate else None
    kept = {key: value.clone() for key, value in codec.state_dict().items()}, torch.get_rng_state()
    found = diagnosed(codec, images, rates)
    assert torch.equal(kept[1], torch.get_rng_state())
    assert all(torch.equal(value, kept[0][key]) for key, value in codec.state_dict().items())
    assert all(module.training for module in codec.modules())
    return codec.eval(), images, rates, found


def outputs(codec, images, rates):
    """(place of the rate, of the image, x, output) of each."""
    for rate, chosen in enumerate(rates or [None]):
        for number, (_, x) in enumerate(images):
            with torch.no_grad():
                yield rate, number, x, codec(codec.pad(x), **({"quality": chosen.quality} if chosen else {}))


def test_contributions_add_up_to_the_picture(shipped):
    codec, images, rates, found = shipped
    for rate, number, x, output in outputs(codec, images, rates):
        x_hat = codec.crop(output.x_hat, *x.shape[-2:])
        products = found.products[rate, number]
        assert found.mse[rate, number, -1] == pytest.approx(mse(x_hat.clamp(0, 1), x).item(), rel=1e-6)
        whole = products[..., 1:, 1:].sum((-1, -2)).sum()
        planes = torch.einsum("dc,chw->dhw", torch.tensor(LUMA_CHROMA).double(), x_hat[0].double())
        energy = (planes - planes.mean((1, 2), keepdim=True)).square().sum().item()
        assert whole == pytest.approx(energy, rel=1e-4)


def test_shares_add_up(shipped):
    *_, found = shipped
    for rate in range(len(found.products)):
        shares, products = band_shares(found, rate), found.products[rate]
        np.testing.assert_allclose(shares.energy.sum(0), 1, rtol=1e-9)
        np.testing.assert_allclose(shares.occupied.sum((1, 2)), 1, rtol=1e-9)
        whole = (products[..., 0, 1:].sum(-1) / products[..., 0, 0]).mean(0)
        np.testing.assert_allclose(shares.signed.sum(0), whole, rtol=1e-7, atol=1e-9)


def test_bits_are_those_of_the_estimate_scale_by_scale(shipped):
    codec, images, rates, found = shipped
    assert len(found.about["sent"]) - codec.facts.latents == (isinstance(codec, HPCM))
    for rate, number, x, output in outputs(codec, images, rates):
        bits = sum(values.double().sum().item() for values in output.bits.values())
        assert found.bpp[rate, number].sum() == pytest.approx(bits / x[0, 0].numel(), rel=1e-9)


def test_it_is_read_as_it_was_written(shipped, tmp_path):
    *_, found = shipped
    found.write(tmp_path / "one.npz")
    read = read_diagnosis(tmp_path / "one.npz")
    assert read.about == {"schema_version": SCHEMA_VERSION, **found.about}
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(read, name), getattr(found, name))


def test_pictures_are_the_contributions(shipped):
    codec, images, rates, found = shipped
    x = images[0][1]
    assert found.about["shown"] == ("photo0", len(rates or [None]) // 2)
    assert np.abs(found.shown[0] / 255 - x[0].numpy()).max() <= 0.5 / 255 + 1e-6
    contributions = (found.shown[1:] - 128.0) / 127 * found.amplitudes[1:, None, None, None]
    rate = {"quality": rates[1].quality} if rates else {}
    x_hat = codec.crop(codec.partial(codec.pad(x), **rate, scales=codec.facts.latents), *x.shape[-2:])
    left = contributions.sum(0) - (x_hat[0] - x[0].mean((1, 2), keepdim=True)).numpy()
    assert np.abs(left).max() <= found.amplitudes[1:].sum() / 254 + 1e-5


@pytest.mark.parametrize(
    ("codec", "words"),
    [
        (SmallCodec(), "SmallCodec has one latent, so there are no scales to tell apart"),
        (ThreeScales(), "ThreeScales has 3 latents, but defines no `partial`"),
    ],
    ids=["one latent", "no partial decodes"],
)
def test_what_cannot_be_diagnosed_says_why(codec, words):
    with pytest.raises(ValueError, match=words):
        check_diagnosable(codec)
    with pytest.raises(ValueError, match=words):
        diagnosed(codec, photos(1, 64, 64))


class Mute(Banded):
    """Its bits are of all scales together."""

    def forward(self, x):
        output = super().forward(x)
        return replace(output, bits={"y": output.bits["z1"]})


class Untold(Banded):
    """Its `bits_by_scale` leaves scales out."""

    def bits_by_scale(self, bits):
        return {"z1": bits["z1"].flatten(1).sum(1)}


class Otherwise(Banded):
    """Its decode from all scales is not its picture."""

    def partial(self, x, *, scales):
        return super().partial(x, scales=scales) + 0.01


class Smaller(Banded):
    """Its partial decodes are cut."""

    def partial(self, x, *, scales):
        return super().partial(x, scales=scales)[..., 1:]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Mute, "Mute: bits of y, but 2 latents; it must say in `bits_by_scale` which bits are of which scale"),
        (Untold, "Untold: its bits_by_scale has z1, but there are 2 scales"),
        (Otherwise, "Otherwise: its partial gives another picture from all scales than its forward does"),
        (Smaller, "Smaller: its partial gives another picture"),
    ],
)
def test_a_codec_that_contradicts_itself_is_refused_beforehand(kind, words):
    with pytest.raises(ValueError, match=words):
        check_diagnosable(kind((0, 0.5, 1)))
    check_diagnosable(Banded((0, 0.5, 1)))


def test_without_images_there_is_nothing_to_say():
    with pytest.raises(ValueError, match="no images"):
        diagnosed(Banded((0, 0.5, 1)), [])


def damaged(path, how):
    whole = path.read_bytes()
    if how == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("no archive")
    else:
        with np.load(path) as file:
            arrays = dict(file)
        arrays["mse"] = arrays["mse"][:, :, 1:] if how == "shape" else arrays["mse"]
        if how == "key":
            del arrays["products"]
        if how == "about":
            arrays["about"] = np.array('{"step": "seven"}')
        if how == "objects":
            arrays["mse"] = np.array([{}], dtype=object)
        np.savez(path, **arrays)


@pytest.mark.parametrize("how", ["cut", "empty", "text", "shape", "key", "about", "objects"])
def test_a_file_that_is_no_diagnosis_is_refused_by_name(how, tmp_path):
    path = tmp_path / "step_00000007.npz"
    diagnosed(Banded((0, 0.5, 1)), photos(1, 16, 16)).write(path)
    damaged(path, how)
    with pytest.raises(RecordError, match=r"step_00000007\.npz cannot be read"):
        read_diagnosis(path)
