"""The latents that the inter-scale term compares, and numbers that say whether they stay sane."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from lic_exp.models.base import CodecOutput
from lic_exp.ops.spectra import spectral_overlap
from lic_exp.tracking import names

BIAS = "bias"


NESTED = "they share values by construction, so their distance says little of redundancy"
"""What to know of the distances of scales that are samples of one latent."""


def select(output: CodecOutput, view: str, same_resolution: str) -> list[Tensor]:
    """One latent (B, C, h, w) per resolution, coarse to fine, in float32 or wider.

    view: "descaled" are the latents themselves; "innovation" is latent minus the mean that the prior predicts for
        it, so that what is predicted earns nothing; others are the codec's `latent_views`.
    same_resolution: of several latents at one resolution take the "last", or "concatenate" their channels.
    Raises ValueError where the codec has no such view.
    """
    scales: list[Tensor] = []
    for latent in _viewed(output, view):
        wide = latent.to(torch.promote_types(latent.dtype, torch.float32))
        if scales and scales[-1].shape[-2:] == wide.shape[-2:]:
            former = scales.pop()
            wide = torch.cat((former, wide), dim=1) if same_resolution == "concatenate" else wide
        scales.append(wide)
    return scales


def learned_bias(output: CodecOutput) -> Tensor | None:
    """The constant (1, C, 1, 1) that the codec's coarsest scale starts from, in float32 or wider; None without one."""
    found = output.latent_views.get(BIAS)
    return None if found is None else found[0].to(torch.promote_types(found[0].dtype, torch.float32))


def like_halved(bias: Tensor, scale: Tensor) -> Tensor:
    """The bias (1, C, 1, 1) as a latent (B, C, ceil(h/2), ceil(w/2)) one step coarser than a scale (B, C', h, w)."""
    height, width = ((side + 1) // 2 for side in scale.shape[-2:])
    return bias.expand(len(scale), -1, height, width)


def gradient_inputs(output: CodecOutput, view: str) -> list[Tensor]:
    """The tensors through which the loss and a term on this view both pass."""
    return list(output.latents if view == "innovation" else _viewed(output, view))


def pairs(scales: list[Tensor], bias: Tensor | None) -> dict[int, tuple[Tensor, Tensor]]:
    """{l: (z_{l-1}, z_l)}, for l = 1 with the bias (1, C, 1, 1) in place of z_0, where there is one."""
    top = {} if bias is None else {1: (like_halved(bias, scales[0]), scales[0])}
    return top | {i + 1: (scales[i - 1], scales[i]) for i in range(1, len(scales))}


def check_pyramid(scales: list[Tensor]) -> None:
    """Raises ValueError where adjacent scales do not halve in size."""
    sizes = [(scale.shape[-2], scale.shape[-1]) for scale in scales]
    if len(sizes) < 2:
        raise ValueError(f"all latents of this codec have one resolution, {sizes[0]}: there are no scales to compare")
    for coarse, fine in pairwise(sizes):
        if coarse != tuple((side + 1) // 2 for side in fine):
            raise ValueError(f"adjacent latents must differ by a factor of 2 in size; this codec's are {sizes}")


def _viewed(output: CodecOutput, view: str) -> tuple[Tensor, ...]:
    if view == "descaled":
        return output.latents
    wanted = "prior_mean" if view == "innovation" else view
    if wanted not in output.latent_views:
        there = sorted({"descaled", *output.latent_views} - {BIAS})
        raise ValueError(f"view={view} needs the codec's latent view {wanted!r}; it has: {', '.join(there)}")
    views = output.latent_views[wanted]
    if view != "innovation":
        return views
    return tuple(latent - mean for latent, mean in zip(output.latents, views, strict=True))


def deviation(scale: Tensor) -> Tensor:
    """Standard deviation of a latent (B, C, h, w) over all its elements, a scalar."""
    return scale.std(correction=0)


def mean_share(scale: Tensor) -> Tensor:
    """The part in [0, 1] of a latent's energy that lies in its channels' means: an offset that costs no bits."""
    energy = scale.square().mean()
    return scale.mean(dim=(0, 2, 3)).square().mean() / energy.clamp(min=torch.finfo(energy.dtype).tiny)


def extent(scale: Tensor) -> Tensor:
    """Largest minus smallest element of a latent, a scalar."""
    return scale.max() - scale.min()


class LastBatch:
    """What is kept of the last batch, detached: references, so nothing is computed or copied for it."""

    def __init__(self, scales: list[Tensor], bias: Tensor | None) -> None:
        self.scales, self.bias = [scale.detach() for scale in scales], None if bias is None else bias.detach()
        self.values: dict[int, Tensor] = {}
        self.predictor_loss: Tensor | None = None
        self.share: Tensor | None = None

    def deviations(self) -> Tensor:
        return torch.stack([deviation(scale) for scale in self.scales])


def health(scales: list[Tensor]) -> Iterator[tuple[str, float]]:
    """Deviation, mean share, range of every latent, and the overlap of its spectrum with the next coarser one's."""
    for number, scale in enumerate(scales, 1):
        yield names.latent_std(number), float(deviation(scale))
        yield names.latent_mean_share(number), float(mean_share(scale))
        yield names.latent_range(number), float(extent(scale))
        if number > 1:
            yield names.spectral_overlap(number), float(spectral_overlap(scales[number - 2], scale))
