"""The rate-distortion criteria: loss = R + lmbda D, in CompressAI's units.

R is the estimated rate in bits per pixel, the summed bits of all latents over B H W. Everything is float32,
also under autocast: a sum over 10^5 symbols does not survive bfloat16.
"""

from functools import reduce
from typing import ClassVar

import pytorch_msssim
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lic_exp.capabilities import CriterionFacts, signed_as
from lic_exp.conditions import AtLeast, Below, Not
from lic_exp.metrics import MIN_MS_SSIM_SIDE, psnr_from_mse
from lic_exp.models.base import CodecOutput
from lic_exp.option_types import PositiveFloat
from lic_exp.private_interfaces import ssim_of_scale
from lic_exp.requirements import Forbids, declares

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, fine to coarse (Wang et al., 2003)."""


@declares(
    Forbids(
        {"lmbda": Not(None)},
        "this model serves a range of rates, not {here}lmbda={lmbda:g} alone: choose criterion=variable_rate, and its "
        "range by {here}lmbda_min and {here}lmbda_max",
        codec={"variable_rate": True},
    )
)
class RateDistortion(nn.Module):
    """R + lmbda D of a batch, and of an image's measured values.

    Subclasses state `facts`, which distortions they report, and D.
    """

    facts: ClassVar[CriterionFacts]

    def __init__(self, *, lmbda: PositiveFloat) -> None:
        super().__init__()
        self.lmbda = lmbda

    def forward(self, output: CodecOutput, target: Tensor) -> dict[str, Tensor]:
        """Scalars: `loss`, `bpp_loss`, the distortions, `psnr` [dB] of the batch's MSE, and `<latent>_bpp`.

        The latents' rates sum to `bpp_loss`.

        target (B, 3, H, W) in [0, 1]. Raises ValueError where x_hat has another shape.
        """
        check_same_shape(output, target)
        with torch.autocast(target.device.type, enabled=False):
            rates = latent_rates(output.bits, target)
            bpp_loss = torch.stack(list(rates.values())).sum()
            distortions = self.distortions(output.x_hat.float(), target.float())
            loss = bpp_loss + self.lmbda * self.total(distortions)
            psnr = psnr_from_mse(distortions["mse_loss"].detach())
        return {"loss": loss, "bpp_loss": bpp_loss, **distortions, "psnr": psnr, **rates}

    def distortions(self, x_hat: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Scalar means over the batch by name; x_hat and target (B, 3, H, W) in float32."""
        raise NotImplementedError

    def total(self, distortions: dict[str, Tensor]) -> Tensor:
        """D, a scalar, from what `distortions` returned."""
        raise NotImplementedError

    def rd_loss(self, *, bpp: float, mse: float, ms_ssim: float) -> float:
        """R + lmbda D of one image: bpp, MSE over [0, 1], MS-SSIM in [0, 1]; the value D does not use may be NaN."""
        raise NotImplementedError


@signed_as("mse")
@declares(
    Forbids(
        {"lmbda": AtLeast(1.0)},
        "{here}lmbda={lmbda:g} looks like a weight of MSE on [0, 1] (one lmbda is stored here, CompressAI's: the "
        "weight of 255^2 MSE); write {here}lmbda={lmbda/65025:.6g}, which is {lmbda:g} / 255^2",
    )
)
class MSE(RateDistortion):
    """loss = bpp + lmbda 255^2 MSE, with MSE over [0, 1].

    lmbda is CompressAI's weight on MSE over [0, 255]; a weight on MSE over [0, 1], such as DHIC's 64 to 4096, is
    65025 times larger.
    """

    facts = CriterionFacts()

    def distortions(self, x_hat: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"mse_loss": F.mse_loss(x_hat, target)}

    def total(self, distortions: dict[str, Tensor]) -> Tensor:
        return 255**2 * distortions["mse_loss"]

    def rd_loss(self, *, bpp: float, mse: float, ms_ssim: float) -> float:
        return bpp + self.lmbda * 255**2 * mse


@signed_as("ms_ssim")
@declares(
    Forbids(
        {"lmbda": Below(0.5)},
        "{here}lmbda={lmbda:g} looks like a weight of 255^2 MSE; this criterion weighs 1 - MS-SSIM, and there is no "
        "conversion. CompressAI's eight rates use 2.4, 4.58, 8.73, 16.64, 31.73, 60.5, 115.37, 220",
    )
)
class MSSSIM(RateDistortion):
    """loss = bpp + lmbda (1 - MS-SSIM). The MSE is reported without a gradient.

    Unlike `lic_exp.metrics.ms_ssim` this one does not clamp x_hat, or values outside [0, 1] would never come back.
    An image whose contrast is inverted has MS-SSIM 0 with no gradient: a codec may need some steps of MSE first.
    """

    facts = CriterionFacts(min_crop_size=161)
    window: Tensor
    weights: Tensor

    def __init__(self, *, lmbda: PositiveFloat) -> None:
        super().__init__(lmbda=lmbda)
        # Beside the images, since no recorded step can fetch them.
        self.register_buffer("window", pytorch_msssim.MS_SSIM(data_range=1.0, channel=3).win, persistent=False)
        self.register_buffer("weights", torch.tensor(MS_SSIM_WEIGHTS), persistent=False)

    def distortions(self, x_hat: Tensor, target: Tensor) -> dict[str, Tensor]:
        if min(target.shape[-2:]) < MIN_MS_SSIM_SIDE:
            height, width = target.shape[-2:]
            raise ValueError(f"MS-SSIM needs image sides of at least {MIN_MS_SSIM_SIDE} pixels, got {height} x {width}")
        ms_ssim = self.ms_ssim(x_hat, target)
        return {"ms_ssim_loss": 1 - ms_ssim, "mse_loss": F.mse_loss(x_hat.detach(), target)}

    def ms_ssim(self, x_hat: Tensor, target: Tensor) -> Tensor:
        """The mean over images and channels, a scalar, with the values of `pytorch_msssim.ms_ssim`, bit by bit."""
        terms = []
        for scale in range(len(MS_SSIM_WEIGHTS)):
            if scale:
                odd = [side % 2 for side in target.shape[-2:]]
                x_hat, target = (F.avg_pool2d(image, 2, padding=odd) for image in (x_hat, target))
            similarity, contrast = ssim_of_scale(x_hat, target, self.window)
            terms.append(contrast)
        terms[-1] = similarity
        powers = torch.stack([term.relu() for term in terms]) ** self.weights.view(-1, 1, 1)
        # `prod` looks in its backward pass whether there are zeros.
        product: Tensor = reduce(torch.mul, powers.unbind())
        return product.mean()

    def total(self, distortions: dict[str, Tensor]) -> Tensor:
        return distortions["ms_ssim_loss"]

    def rd_loss(self, *, bpp: float, mse: float, ms_ssim: float) -> float:
        return bpp + self.lmbda * (1 - ms_ssim)


class LooksAgain:
    """A criterion that is shown each batch once more, after the update, and learns from what became of its terms.

    What it has learnt are buffers, which checkpoints hold.
    """

    def weighed(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms with the "loss" that is differentiated, of those that a forward pass gave; with a graph.

        Never compiled, so that ranks can be asked for theirs.
        """
        raise NotImplementedError

    def after_update(self, before: dict[str, Tensor], after: dict[str, Tensor], updated: Tensor) -> None:
        """Learn from the terms of one batch before and after an update, without gradients, means over all ranks.

        The noise and what else was drawn are the same. updated: whether the update was made, a bool scalar on their
        device, which must not be looked at: a step may be recorded.
        """
        raise NotImplementedError


def derived(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of a criterion's scalars that are no means over images, of those that are."""
    return {"psnr": psnr_from_mse(terms["mse_loss"])} if "psnr" in terms else {}


def check_same_shape(output: CodecOutput, target: Tensor) -> None:
    """Raise ValueError where x_hat has another shape than the target, which broadcasting would hide."""
    if output.x_hat.shape != target.shape:
        shapes = f"{tuple(output.x_hat.shape)} and {tuple(target.shape)}"
        raise ValueError(f"x_hat and target must have the same shape, got {shapes}; crop x_hat to the target first")


def latent_rates(bits: dict[str, Tensor], target: Tensor) -> dict[str, Tensor]:
    """`<latent>_bpp`, float32 scalars: summed bits (B, C, h, w) of each latent over the B H W pixels of target."""
    pixels = target.shape[0] * target.shape[-2] * target.shape[-1]
    return {f"{name}_bpp": symbol_bits.float().sum() / pixels for name, symbol_bits in bits.items()}


def image_rates(bits: dict[str, Tensor], target: Tensor) -> Tensor:
    """Bits per pixel of each image of a batch, (B,) float32: those of all latents (B, C, h, w) over H W."""
    pixels = target.shape[-2] * target.shape[-1]
    return torch.stack([symbol_bits.float().flatten(1).sum(1) for symbol_bits in bits.values()]).sum(0) / pixels
