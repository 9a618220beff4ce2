"""The criterion of variable-rate codecs, what the codec is told, and the validation over several rates."""

import csv
import itertools
import math

import pytest
import torch
from torch import Tensor
from training_parts import CPU, ScalableCodec, SmallCodec, objective, variable_rate

from lic_exp.config.errors import ConfigError
from lic_exp.evaluation.rates import MSE_UNIT, RateRange
from lic_exp.models.base import CodecOutput
from lic_exp.places import conf_folder
from lic_exp.runs.build import evaluation_rates
from lic_exp.runs.train import record_rates
from lic_exp.tracking import names
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.criterion import MSE
from lic_exp.training.objective import Objective
from lic_exp.training.validation import Validation, geometric_mean

X = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def output_for(target: Tensor, errors: list[float]) -> CodecOutput:
    bits = torch.rand(len(target), 2, 4, 4, generator=torch.Generator().manual_seed(1))
    x_hat = target + torch.tensor(errors).reshape(-1, 1, 1, 1)
    return CodecOutput(x_hat, {"y": bits, "z": 2 * bits[..., :1, :1]}, (bits,))


def test_the_range_is_dhic_s() -> None:
    """Section 7 of its specification, in the release's range and unit: q = 3 and q = 20 of 0 to 63."""
    released = RateRange(256.0, 8192.0, 63.0)
    assert released.at(3).lmbda == pytest.approx(301.9352189, rel=1e-9)
    assert released.at(20).lmbda == pytest.approx(769.2461924, rel=1e-9)


def test_the_shipped_range_is_the_papers() -> None:
    text = (conf_folder() / "criterion" / "variable_rate.yaml").read_text()
    values = dict(line.split("#")[0].split(": ") for line in text.splitlines() if line.startswith("lmbda"))
    assert MSE_UNIT * float(values["lmbda_min"]) == pytest.approx(64, rel=1e-8)
    assert MSE_UNIT * float(values["lmbda_max"]) == pytest.approx(4096, rel=1e-8)


def test_spaced_rates_are_even_in_log_lmbda() -> None:
    rates = RateRange(0.001, 0.064, 63.0).spaced(6)
    assert [rate.quality for rate in rates] == [0, 12.6, 25.2, 37.8, 50.4, 63]
    steps = [math.log(b.lmbda / a.lmbda) for a, b in itertools.pairwise(rates)]
    assert steps == pytest.approx([math.log(64) / 5] * 5)
    assert (rates[0].lmbda, rates[-1].lmbda) == (0.001, 0.064)
    (middle,) = RateRange(0.001, 0.064, 63.0).spaced(1)
    assert middle.quality == 31.5
    assert middle.lmbda == pytest.approx(0.008)


@pytest.mark.parametrize("quality", [-0.1, 63.1, math.nan])
def test_a_quality_outside_the_range_is_refused(quality: float) -> None:
    with pytest.raises(ValueError, match=r"outside this model's range of 0 to 63"):
        RateRange(0.001, 0.064, 63.0).at(quality)


def test_the_loss_weighs_every_image_by_its_own_lmbda() -> None:
    errors, lmbda = [0.1, 0.02, 0.3], torch.tensor([0.001, 0.064, 0.01])
    output = output_for(X, errors)
    losses = variable_rate()(output, X, lmbda)
    singles = [MSE(lmbda=float(weight))(part(output, i), X[i : i + 1]) for i, weight in enumerate(lmbda)]
    for name in ("loss", "bpp_loss", "mse_loss", "y_bpp", "z_bpp"):
        assert losses[name].item() == pytest.approx(sum(single[name].item() for single in singles) / 3, rel=1e-6), name
    assert losses["psnr"].item() == pytest.approx(-10 * math.log10(losses["mse_loss"].item()), rel=1e-6)


@pytest.mark.parametrize("balance", [0.5, 1.0])
def test_a_balance_weighs_images_by_their_lmbda_and_leaves_the_mean_weight_and_reports_alone(balance: float) -> None:
    lmbda = torch.tensor([0.001, 0.064, 0.01])
    output = output_for(X, [0.1, 0.02, 0.3])
    plain, balanced = (variable_rate(balance=share)(output, X, lmbda) for share in (0.0, balance))
    assert all(torch.equal(plain[name], balanced[name]) for name in plain if name != "loss")
    singles = torch.stack([variable_rate()(part(output, i), X[i : i + 1], lmbda[i : i + 1])["loss"] for i in range(3)])
    drawn = torch.logspace(math.log10(0.001), math.log10(0.064), 4001, dtype=torch.float64)
    weights = lmbda.double() ** -balance / (drawn**-balance).mean()
    assert balanced["loss"].item() == pytest.approx((weights * singles).mean().item(), rel=1e-3)


def part(output: CodecOutput, i: int) -> CodecOutput:
    return CodecOutput(output.x_hat[i : i + 1], {name: bits[i : i + 1] for name, bits in output.bits.items()}, ())


def test_without_lmbda_it_is_the_highest_rate_s_criterion() -> None:
    output = output_for(X, [0.1, 0.2, 0.3])
    ours, theirs = variable_rate()(output, X), MSE(lmbda=0.064)(output, X)
    assert set(ours) == set(theirs)
    assert all(ours[name].item() == pytest.approx(theirs[name].item(), rel=1e-6) for name in ours)


def test_autocast_changes_no_bit_and_shapes_are_checked() -> None:
    output, lmbda = output_for(X, [0.1, 0.2, 0.3]), torch.tensor([0.001, 0.064, 0.01])
    outside = variable_rate()(output, X, lmbda)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = variable_rate()(output, X, lmbda)
    assert all(torch.equal(inside[name], outside[name]) for name in outside)
    with pytest.raises(ValueError, match="crop x_hat to the target first"):
        variable_rate()(output, X[..., 1:], lmbda)


def test_draws_are_uniform_in_log_lmbda_and_agree_with_the_range() -> None:
    shares = torch.rand(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    quality, lmbda = variable_rate().drawn(shares, 63.0)
    assert quality.dtype == lmbda.dtype == torch.float32
    shares = (lmbda.double() / 0.001).log() / math.log(64)
    assert torch.allclose(shares, quality.double() / 63, atol=1e-6)
    counts = torch.histc(shares.float(), bins=10, min=0, max=1)
    assert (counts / 20_000 - 0.1).abs().max() < 0.01
    assert not (quality == quality.round()).all()


def test_whole_draws_are_every_row_alike() -> None:
    shares = torch.rand(64_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    quality, lmbda = variable_rate(drawn_qualities="whole").drawn(shares, 63.0)
    counts = torch.bincount(quality.long())
    assert (quality == quality.round()).all()
    assert len(counts) == 64
    assert (counts - 1000).abs().max() < 200
    assert lmbda[quality == 63].unique().tolist() == pytest.approx([0.064])


def test_codec_and_criterion_are_told_of_the_same_rates() -> None:
    of = objective(rates=variable_rate())
    told: list[Tensor] = []
    of.criterion.register_forward_pre_hook(lambda _, inputs: told.append(inputs[2]))
    of.train()(X)
    quality, (lmbda,) = of.codec.asked, told
    assert quality.shape == lmbda.shape == (3,)
    assert len(quality.unique()) == 3
    assert torch.allclose(lmbda, 0.001 * 64 ** (quality / 63))


def test_a_codec_of_one_rate_is_refused() -> None:
    with pytest.raises(TypeError, match="SmallCodec serves one rate: a criterion with a range needs"):
        Objective(SmallCodec(), variable_rate(), {})(X)


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lmbda_min=0.064 must be less than lmbda_max=0.064"):
        variable_rate(lmbda_min=0.064)


def test_validation_is_the_geometric_mean_over_the_rates() -> None:
    codec, criterion = objective(rates=variable_rate()).codec, variable_rate()
    images = [("a", X[:1]), ("b", X[1:2, :, :13, :])]
    found = Validation(criterion, images, CPU)(codec)
    assert codec.training
    codec.eval()
    losses, rates = [], []
    for quality in (0, 21, 42, 63):

        class OneRate(SmallCodec):
            """The codec at one quality, as if it knew no other."""

            def forward(self, x: Tensor, quality: float = quality) -> CodecOutput:
                return codec(x, quality)

        lmbda = 0.001 * 64 ** (quality / 63)
        one = Validation(MSE(lmbda=lmbda), images, CPU)(OneRate())
        for name in (names.VAL_RD_LOSS, names.VAL_BPP_LOSS, names.VAL_PSNR):
            assert found[names.at_quality(name, quality)] == pytest.approx(one[name], rel=1e-12)
        losses.append(one[names.VAL_RD_LOSS])
        rates.append(one[names.VAL_BPP_LOSS])
    assert found[names.VAL_RD_LOSS] == pytest.approx(math.prod(losses) ** 0.25, rel=1e-12)
    assert found[names.VAL_BPP_LOSS] == pytest.approx(sum(rates) / 4, rel=1e-12)
    assert rates == sorted(rates)
    assert next(iter(found)) == names.VAL_RD_LOSS


def test_geometric_mean_bears_what_a_product_does_not() -> None:
    assert geometric_mean([1e-200, 1e-200, 1e-200]) == pytest.approx(1e-200)
    assert geometric_mean([0.0, 2.0]) == 0
    assert math.isnan(geometric_mean([math.nan, 2.0]))
    assert geometric_mean([math.inf, 2.0]) == math.inf


def test_names_of_rates_are_short() -> None:
    assert [names.at_quality(names.VAL_RD_LOSS, q) for q in (0.0, 12.6, 63)] == [
        "val/rd_loss_q0",
        "val/rd_loss_q12.6",
        "val/rd_loss_q63",
    ]


def test_evaluation_rates_are_the_validation_rates_or_those_chosen() -> None:
    codec, criterion = ScalableCodec(), variable_rate()
    assert evaluation_rates(criterion, codec, None) == RateRange(0.001, 0.064, 63.0).spaced(4)
    assert [rate.quality for rate in evaluation_rates(criterion, codec, [63, 0.5]) or []] == [63, 0.5]
    assert evaluation_rates(MSE(lmbda=0.01), SmallCodec(), None) is None
    with pytest.raises(ConfigError, match=r"evaluation.qualities: quality 64 is outside this model's range of 0 to 63"):
        evaluation_rates(criterion, codec, [64])
    with pytest.raises(ConfigError, match=r"evaluation.qualities=1: this run's model has one rate, so"):
        evaluation_rates(MSE(lmbda=0.01), SmallCodec(), [1])


def test_a_run_writes_down_what_its_rates_are(tmp_path) -> None:
    run = RunFolder(tmp_path / "run")
    run.create()
    record_rates(run, objective())
    assert not list(run.artifacts.iterdir())
    record_rates(run, objective(rates=variable_rate()))
    with open(run.artifacts / "validation_rates.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["quality"] for row in rows] == ["0", "21", "42", "63"]
    assert rows[1]["metric"] == "val/rd_loss_q21"
    assert float(rows[1]["lmbda"]) == pytest.approx(0.004)
    assert float(rows[1]["lmbda_of_mse_in_0_1"]) == pytest.approx(0.004 * 65025)
