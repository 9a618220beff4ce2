"""Codecs without weights whose scales are known: each has bands of its own, or the finer one repeats the coarser."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lic_exp.capabilities import CodecFacts
from lic_exp.models.base import Codec, CodecOutput
from lic_exp.ops.dct import dct2, idct2, radial_frequency


class ScaleToy(Codec):
    """Pictures from the first latents are `shown(latents)`; a coder it has none."""

    def __init__(self, scales: int) -> None:
        super().__init__()
        self.facts = CodecFacts(downsampling_factor=8, latents=scales)  # type: ignore[misc]
        self.weight = nn.Parameter(torch.zeros(1))

    def seen(self, x: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def shown(self, latents: Sequence[Tensor], like: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> CodecOutput:
        latents = self.seen(x)
        bits = {f"z{number}": number * torch.ones_like(latent) for number, latent in enumerate(latents, 1)}
        return CodecOutput(self.shown(latents, x), bits, tuple(latents))

    def partial(self, x: Tensor, *, scales: int) -> Tensor:
        return self.shown(self.seen(x)[:scales], x)

    def update(self, force: bool = True) -> None:
        pass


class Banded(ScaleToy):
    """Scale l carries the frequencies from edges[l - 1] to edges[l] of rho / sqrt 2; gray without any."""

    def __init__(self, edges: Sequence[float]) -> None:
        super().__init__(len(edges) - 1)
        self.edges = edges

    def seen(self, x: Tensor) -> list[Tensor]:
        rho = radial_frequency(*x.shape[-2:]) / math.sqrt(2) + 1e-10  # what lies on an edge is above it, as in bands
        inside = [(rho >= low) & (rho < high) for low, high in zip(self.edges, self.edges[1:], strict=False)]
        return [idct2(dct2(x.double() - 0.5) * mask) for mask in inside]

    def shown(self, latents: Sequence[Tensor], like: Tensor) -> Tensor:
        return torch.stack([torch.full_like(like.double(), 0.5), *latents]).sum(0).to(like.dtype)


class Copying(ScaleToy):
    """The latent of scale 2 is that of scale 1, with every position four times and a little noise, and adds nothing."""

    def __init__(self, noise: float) -> None:
        super().__init__(2)
        self.noise = noise

    def seen(self, x: Tensor) -> list[Tensor]:
        z = nn.functional.avg_pool2d(x, 8)
        copy = z.repeat_interleave(2, -1).repeat_interleave(2, -2)
        wild = torch.rand(copy.shape, generator=torch.Generator().manual_seed(round(1e6 * float(x.mean()))))
        return [z, copy + self.noise * (wild - 0.5)]

    def shown(self, latents: Sequence[Tensor], like: Tensor) -> Tensor:
        if not latents:
            return torch.full_like(like, 0.5)
        return nn.functional.interpolate(latents[0], scale_factor=8.0)


class Independent(Copying):
    """The same, but scale 2 knows nothing of scale 1."""

    def seen(self, x: Tensor) -> list[Tensor]:
        coarse, fine = super().seen(x)
        return [coarse, torch.randn(fine.shape, generator=torch.Generator().manual_seed(round(1e6 * float(x.mean()))))]


def photos(count: int, height: int, width: int) -> list[tuple[str, Tensor]]:
    """Images (1, 3, height, width) in [0, 1], with every frequency, more of the low ones."""
    generator = torch.Generator().manual_seed(5)
    rho = radial_frequency(height, width)
    found = []
    for number in range(count):
        spectrum = torch.randn(1, 3, height, width, generator=generator, dtype=torch.float64) / (0.05 + rho)
        x = idct2(spectrum)
        found.append((f"photo{number}", (0.5 + 0.12 * (x - x.mean()) / x.std()).clamp(0, 1).float()))
    return found
