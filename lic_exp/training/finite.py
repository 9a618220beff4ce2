"""Whether weights can still be believed."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from lic_exp.divergence import DivergedError


class FiniteWeights:
    """The parameters and floating-point buffers of modules, by name.

    A buffer that is not finite when this is made, such as a mask of minus infinity, is none of the weights.
    """

    def __init__(self, modules: Mapping[str, nn.Module | None]) -> None:
        self._modules = {name: module for name, module in modules.items() if module is not None}
        self._constants = {name for name, buffer in self._buffers() if not buffer.isfinite().all()}

    def not_finite(self) -> list[str]:
        """Names of those that hold NaN or infinity. Waits for the device once."""
        named = dict(self._parameters())
        named |= {name: buffer for name, buffer in self._buffers() if name not in self._constants}
        if not named:
            return []
        device = next(iter(named.values())).device
        finite = torch.stack([value.detach().isfinite().all().to(device) for value in named.values()]).tolist()
        return [name for name, good in zip(named, finite, strict=True) if not good]

    def check(self, step: int, moreover: str = "the weights are spoilt") -> None:
        """Raise DivergedError, naming the first, where some are not finite after so many steps."""
        spoilt = self.not_finite()
        if spoilt:
            first, *others = spoilt
            names = f"{first} and {len(others)} more are" if others else f"{first} is"
            raise DivergedError(f"{names} not finite after step {step}: {moreover}", step)

    def _parameters(self) -> Iterator[tuple[str, Tensor]]:
        for prefix, module in self._modules.items():
            yield from module.named_parameters(prefix=prefix)

    def _buffers(self) -> Iterator[tuple[str, Tensor]]:
        for prefix, module in self._modules.items():
            yield from (named for named in module.named_buffers(prefix=prefix) if named[1].is_floating_point())
