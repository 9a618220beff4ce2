"""A module's buffers, kept and put back by a few calls for all of them: a step does so, and there may be dozens."""

import torch
from torch import Tensor, nn

from lic_exp.private_torch import copy_all

Alike = tuple[torch.device, torch.dtype]


class FormerBuffers:
    """Copies of a module's buffers as they are now: running averages and the like, which a forward pass may change."""

    @torch.no_grad()
    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.kept = {kind: _joined(buffers) for kind, buffers in _by_kind(module).items()}

    @torch.no_grad()
    def restore(self, *, unless: Tensor | None = None) -> None:
        """Write them into the module's buffers. unless: a bool scalar on their device; where it is true they stay."""
        for kind, buffers in _by_kind(self.module).items():
            values = self.kept[kind]
            if unless is not None:
                values = torch.where(unless, _joined(buffers), values)
            copy_all(buffers, _parts(values, buffers))


def _by_kind(module: nn.Module) -> dict[Alike, list[Tensor]]:
    """Those that have elements."""
    found: dict[Alike, list[Tensor]] = {}
    for buffer in module.buffers():
        if buffer.numel() > 0:
            found.setdefault((buffer.device, buffer.dtype), []).append(buffer)
    return found


def _joined(buffers: list[Tensor]) -> Tensor:
    """One tensor (n,) of the elements of all."""
    joined = buffers[0].new_empty(sum(buffer.numel() for buffer in buffers))
    copy_all(_parts(joined, buffers), buffers)
    return joined


def _parts(joined: Tensor, buffers: list[Tensor]) -> list[Tensor]:
    """Views of it in the shapes of the buffers."""
    parts = joined.split([buffer.numel() for buffer in buffers])
    return [part.view(buffer.shape) for part, buffer in zip(parts, buffers, strict=True)]
