"""Frequency truncation along a window of training: which cut-off when, and what it leaves of an image."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from lic_exp.ops.dct import MaskShape, truncate
from lic_exp.spectral_reg.schedules import SCHEDULES, ScheduleName, Window


@dataclass(frozen=True)
class Truncation:
    """A function of the position in [0, 1] of the window; see `lic_exp.spectral_reg.intra_scale.IntraScale`."""

    window: Window
    tau_init: float
    tau_final: float
    schedule: ScheduleName
    mask: Literal["soft", "hard", "identity_end"]

    def tau(self, position: float) -> float:
        """The scheduled tau."""
        return SCHEDULES[self.schedule](position, self.tau_init, self.tau_final)

    def cutoff(self, position: float) -> float:
        """The tau that the mask is given: `tau`, or tau / (1 - p) for "identity_end", infinite at its end."""
        if self.mask != "identity_end":
            return self.tau(position)
        return self.tau(position) / (1 - position) if position < 1 else math.inf

    @property
    def mask_shape(self) -> MaskShape:
        """The mask of `ops.dct` that takes `cutoff`."""
        return "hard" if self.mask == "hard" else "soft"

    def low_pass(self, x: Tensor, position: float) -> Tensor:
        """What training sees of x (..., H, W); x itself where the mask is all ones."""
        cutoff = self.cutoff(position)
        return x if math.isinf(cutoff) else truncate(x, cutoff, self.mask_shape)
