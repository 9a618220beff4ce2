"""Intra-scale spectral regularization (Eq. 3-5): the first stage of training sees low-passed images only."""

import math
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lic_exp.ops.dct import MaskShape, truncate
from lic_exp.ranges import NonNegativeFloat, PositiveFloat, Tau
from lic_exp.spectral_reg.base import Progress, SpectralRegularizer
from lic_exp.spectral_reg.schedules import SCHEDULES, Stage
from lic_exp.tracking import names


class IntraScale(SpectralRegularizer):
    """Frequency truncation of the batch, with a cut-off that rises over a stage of training.

        x --- DCT-II --- * M(u, v; tau) --- IDCT-II --- x~      M = max(0, (tau - rho) / tau)
                              ^                                  rho = sqrt((u/H)^2 + (v/W)^2)
                 tau_init -> tau_final over the stage

    Outside the stage and in `eval()` the batch passes as the very same tensors. x~ is not clamped: it may leave
    [0, 1] slightly. All is a function of the last `Progress`, so a resumed run continues exactly.

    tau_init, tau_final: cut-off at the first and at the last position of the stage.
    schedule: the way between them (`schedules`); `constant` stays at tau_init.
    truncation_length, truncation_start: the stage [start, start + length) in truncation_unit: "epoch", "step", or
        "share" of all training steps. By epoch or step the last one of the stage has tau_final, and a stage of one
        has tau_init.
    mask: "soft" is Eq. 4. "hard" keeps rho < tau as it is. "identity_end" is max(0, 1 - (1 - p) rho / tau) at
        position p of the stage, that is, Eq. 4 with the cut-off tau / (1 - p): Eq. 4 at p = 0, all ones at p = 1, so
        that leaving the stage is no jump of the data.
    target: what the reconstruction is compared with: the "truncated" batch (paper), or the "full" one.
    """

    def __init__(
        self,
        *,
        tau_init: Tau,
        tau_final: Tau,
        schedule: Literal["linear", "cosine", "exponential", "constant"],
        truncation_length: PositiveFloat,
        truncation_unit: Literal["epoch", "step", "share"],
        truncation_start: NonNegativeFloat,
        mask: Literal["soft", "hard", "identity_end"],
        target: Literal["truncated", "full"],
    ) -> None:
        super().__init__()
        self.stage = Stage(truncation_start, truncation_length, truncation_unit)
        self.tau_init, self.tau_final = tau_init, tau_final
        self.schedule = SCHEDULES[schedule]
        self.mask = mask
        self.target = target
        self.set_progress(Progress(step=0, epoch=0, share=0.0))

    def set_progress(self, progress: Progress) -> None:
        """Find the position in the stage."""
        self.position = self.stage.position(getattr(progress, self.stage.unit))

    def tau(self, position: float) -> float:
        """The scheduled tau at a position in [0, 1] of the stage."""
        return self.schedule(position, self.tau_init, self.tau_final)

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
        """What training sees of x (..., H, W) at a position of the stage; x itself where the mask is all ones."""
        cutoff = self.cutoff(position)
        return x if math.isinf(cutoff) else truncate(x, cutoff, self.mask_shape)

    # The kept rows, hence shapes, follow tau: traced, this would recompile at every new one and skip the caches.
    @torch.compiler.disable  # type: ignore[untyped-decorator,misc]
    def transform_batch(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Truncate the input, and the target with it unless `target` is "full"."""
        if not self.training or self.position is None:
            return x, target
        x_low = self.low_pass(x, self.position)
        if self.target == "full":
            return x_low, target
        return x_low, x_low if target is x else self.low_pass(target, self.position)

    def scalars(self) -> dict[str, float]:
        """The scheduled tau and the phase; outside the stage tau 1 in phase 0, where 1 stands for the full spectrum."""
        active = self.position is not None
        return {
            names.SPECTRAL_TAU: 1.0 if self.position is None else self.tau(self.position),
            names.SPECTRAL_PHASE: names.PHASES["phase1_intra" if active else "baseline"],
        }

    def write_pictures(self, photo: Tensor, folder: Path) -> list[Path]:
        """Draw the masks and a photo (3, H, W) in [0, 1] along the schedule; returns the files written."""
        from lic_exp.spectral_reg import pictures  # matplotlib takes a second, and few runs draw

        return pictures.write_pictures(self, photo, folder)
