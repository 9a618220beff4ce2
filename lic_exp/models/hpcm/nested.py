"""Decoding HPCM from its first scales alone, and what each of them costs."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from lic_exp.capabilities import CodecFacts
from lic_exp.models.dtypes import check_image
from lic_exp.models.hpcm.coding import rounded
from lic_exp.models.hpcm.context import ContextModel
from lic_exp.models.hpcm.partition import Partition, partition
from lic_exp.ops.precision import widened

SCALES = 3


class Quantised:
    """The symbols of the first scales as `lic_exp.models.hpcm.coding.Quantise` has them, and the others' means."""

    def __init__(self, latents: list[Tensor], scales: int) -> None:
        self.latents, self.scales = latents, scales

    def __call__(self, scale: int, mask: Tensor, scales: Tensor, means: Tensor) -> Tensor:
        return rounded(self.latents[scale], means) if scale < self.scales else means


class NestedScales(ContextModel):
    """What follows from the latent being coded in nested scales; a base class, as `ContextModel` is."""

    facts: ClassVar[CodecFacts]
    means_hyper: nn.Parameter
    g_s: nn.Module

    @torch.no_grad()
    def partial(self, x: Tensor, *, scales: int) -> Tensor:
        """`lic_exp.models.base.Codec.partial`: z is always there, and symbols of later scales are their means."""
        if not 0 <= scales <= SCALES:
            raise ValueError(f"scales is {scales}, but there are {SCALES}: 0 to {SCALES} can be decoded")
        check_image(self, x)
        grid, y, z = self._analysed(x)
        params = self._hyper(rounded(z, self.means_hyper))
        walk = self.walk(params, grid, Quantised(self._at_scales(y, grid), scales))
        return widened(self.g_s(walk.latents[-1]))

    def bits_by_scale(self, bits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`lic_exp.models.base.Codec.bits_by_scale`: of z, and of what s1, s2 and s3 add."""
        y = bits["y"].double()
        height, width = y.shape[-2:]
        grid = partition(height, width, self.compat, y.device)
        grouped = y.reshape(len(y), len(grid.to_s1.back_keep), -1, height * width).sum(2)
        s1, s2 = ((grouped * how.back_keep).sum((1, 2)) for how in (grid.to_s1, grid.to_s2))
        total = grouped.sum((1, 2))
        return {"z": bits["z"].double().flatten(1).sum(1), "s1": s1, "s2": s2 - s1, "s3": total - s2}

    def _analysed(self, x: Tensor) -> tuple[Partition, Tensor, Tensor]:
        raise NotImplementedError

    def _hyper(self, z_hat: Tensor) -> Tensor:
        raise NotImplementedError

    def _at_scales(self, y: Tensor, grid: Partition) -> list[Tensor]:
        raise NotImplementedError
