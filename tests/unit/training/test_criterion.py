import math

import pytest
import pytorch_msssim
import torch
from compressai.losses import RateDistortionLoss
from torch import Tensor

from lic_exp.metrics import MIN_MS_SSIM_SIDE, ms_ssim
from lic_exp.models.base import CodecOutput
from lic_exp.training.criterion import MSE, MSSSIM


def smooth_images(batch: int, side: int, seed: int = 0) -> Tensor:
    noise = torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, size=side, mode="bilinear")


def output_for(target: Tensor, noise: float = 0.02) -> CodecOutput:
    generator = torch.Generator().manual_seed(1)
    batch, _, height, width = target.shape
    x_hat = target + noise * torch.randn(target.shape, generator=generator)
    y = 3 * torch.rand(batch, 4, height // 16, width // 16, generator=generator)
    z = torch.rand(batch, 2, height // 64, width // 64, generator=generator)
    return CodecOutput(
        x_hat=x_hat.requires_grad_(), bits={"y": y.requires_grad_(), "z": z.requires_grad_()}, latents=()
    )


def test_mse_by_hand() -> None:
    target = torch.zeros(2, 3, 4, 8)
    bits = {"y": torch.full((2, 5, 2, 2), 1.5), "z": torch.full((2, 1, 1, 1), 4.0)}
    losses = MSE(lmbda=0.01)(CodecOutput(x_hat=target + 0.1, bits=bits, latents=()), target)
    assert set(losses) == {"loss", "bpp_loss", "mse_loss", "psnr", "y_bpp", "z_bpp"}
    assert losses["y_bpp"].item() == pytest.approx(40 * 1.5 / 64)
    assert losses["z_bpp"].item() == pytest.approx(8 / 64)
    assert losses["bpp_loss"].item() == pytest.approx(68 / 64)
    assert losses["mse_loss"].item() == pytest.approx(0.01)
    assert losses["loss"].item() == pytest.approx(68 / 64 + 0.01 * 65025 * 0.01)


@pytest.mark.parametrize(
    ("criterion", "metric", "lmbda"), [(MSE(lmbda=0.013), "mse", 0.013), (MSSSIM(lmbda=8.73), "ms-ssim", 8.73)]
)
def test_loss_and_gradient_are_compressai_s(criterion: MSE | MSSSIM, metric: str, lmbda: float) -> None:
    target = smooth_images(2, 192)
    output = output_for(target)
    ours = criterion(output, target)["loss"]
    theirs = RateDistortionLoss(lmbda=lmbda, metric=metric)(output, target)["loss"]
    inputs = [output.x_hat, *output.bits.values()]
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    for mine, reference in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-8)


def test_ms_ssim_reports_both_distortions_but_weighs_one() -> None:
    target = smooth_images(2, 192)
    output = output_for(target)
    losses = MSSSIM(lmbda=8.73)(output, target)
    with torch.no_grad():
        expected = 1 - ms_ssim(output.x_hat, target).mean()
    assert losses["ms_ssim_loss"].item() == pytest.approx(expected.item(), abs=1e-3)
    assert losses["loss"].item() == pytest.approx((losses["bpp_loss"] + 8.73 * losses["ms_ssim_loss"]).item())
    assert losses["mse_loss"].item() == pytest.approx((output.x_hat - target).square().mean().item())
    assert not losses["mse_loss"].requires_grad


@pytest.mark.parametrize("side", [161, 176, 191])
def test_ms_ssim_is_the_librarys_bit_by_bit(side: int) -> None:
    target = smooth_images(2, side)
    x_hat = output_for(target).x_hat.detach().requires_grad_()
    ours = MSSSIM(lmbda=8.73).ms_ssim(x_hat, target)
    theirs = pytorch_msssim.ms_ssim(x_hat, target, data_range=1.0)
    assert torch.equal(ours, theirs)
    gradients = [torch.autograd.grad(value, x_hat)[0] for value in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-9)
    assert MSSSIM(lmbda=8.73).state_dict() == {}


def test_ms_ssim_pulls_back_what_left_the_range() -> None:
    target = smooth_images(1, 192)
    output = output_for(target)
    x_hat = (output.x_hat.detach() + 0.6).requires_grad_()
    MSSSIM(lmbda=8.73)(CodecOutput(x_hat=x_hat, bits=output.bits, latents=()), target)["loss"].backward()
    outside = x_hat.detach() > 1
    assert outside.any()
    assert x_hat.grad is not None
    assert (x_hat.grad[outside] != 0).float().mean() > 0.99


@pytest.mark.parametrize("x_hat", ["equal", "constant", "inverted", "noise"])
@pytest.mark.parametrize("criterion", [MSE(lmbda=0.013), MSSSIM(lmbda=8.73)])
def test_gradients_are_finite(criterion: MSE | MSSSIM, x_hat: str) -> None:
    target = smooth_images(1, 161)
    cases = {
        "equal": target.clone(),
        "constant": torch.full_like(target, 0.5),
        "inverted": 1 - target,
        "noise": 3 * torch.randn(target.shape, generator=torch.Generator().manual_seed(2)),
    }
    x = cases[x_hat].requires_grad_()
    criterion(CodecOutput(x_hat=x, bits={"y": torch.ones(1, 1, 1, 1)}, latents=()), target)["loss"].backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("criterion", [MSE(lmbda=0.013), MSSSIM(lmbda=8.73)])
def test_autocast_changes_no_bit(criterion: MSE | MSSSIM) -> None:
    target = smooth_images(1, 192)
    output = output_for(target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = criterion(output, target)
    outside = criterion(output, target)
    assert {name: value.dtype for name, value in inside.items()} == dict.fromkeys(outside, torch.float32)
    assert all(torch.equal(inside[name], outside[name]) for name in outside)


def test_a_bfloat16_reconstruction_is_compared_in_float32() -> None:
    target = smooth_images(1, 64)
    x_hat = (target + 0.01).bfloat16()
    losses = MSE(lmbda=0.013)(CodecOutput(x_hat=x_hat, bits={"y": torch.ones(1, 1, 1, 1)}, latents=()), target)
    assert losses["mse_loss"].item() == pytest.approx((x_hat.float() - target).square().mean().item(), rel=1e-6)


@pytest.mark.parametrize("criterion", [MSE(lmbda=0.013), MSSSIM(lmbda=8.73)])
def test_rd_loss_of_measured_values_is_the_loss(criterion: MSE | MSSSIM) -> None:
    target = smooth_images(1, 192)
    losses = criterion(output_for(target), target)
    values = {
        "bpp": losses["bpp_loss"].item(),
        "mse": losses["mse_loss"].item(),
        "ms_ssim": 1 - losses["ms_ssim_loss"].item() if "ms_ssim_loss" in losses else math.nan,
    }
    assert criterion.rd_loss(**values) == pytest.approx(losses["loss"].item(), rel=1e-6)


def test_a_padded_reconstruction_is_refused() -> None:
    output = CodecOutput(x_hat=torch.zeros(1, 3, 64, 64), bits={"y": torch.ones(1, 1, 4, 4)}, latents=())
    with pytest.raises(ValueError, match=r"\(1, 3, 64, 64\) and \(1, 3, 60, 64\); crop x_hat"):
        MSE(lmbda=0.013)(output, torch.zeros(1, 3, 60, 64))


def test_ms_ssim_states_and_enforces_its_smallest_crop() -> None:
    assert MSSSIM.facts.min_crop_size == MIN_MS_SSIM_SIDE
    target = smooth_images(1, 160)
    with pytest.raises(ValueError, match="at least 161 pixels, got 160 x 160"):
        MSSSIM(lmbda=8.73)(output_for(target), target)


def test_dhic_s_weights_fall_outside_the_stated_range() -> None:
    for lmbda in (64, 4096):
        assert MSE(lmbda=lmbda / 65025).lmbda == lmbda / 65025
        with pytest.raises(
            ValueError, match=rf"^lmbda={lmbda} looks like a weight of MSE on \[0, 1\] .*write lmbda=0.0"
        ):
            MSE(lmbda=lmbda)
    with pytest.raises(ValueError, match=r"^lmbda=0.18 looks like a weight of 255\^2 MSE"):
        MSSSIM(lmbda=0.18)
