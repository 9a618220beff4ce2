"""Intra-scale spectral regularization (Eq. 3-5): the first stage of training sees low-passed images only."""

from collections.abc import Hashable
from pathlib import Path
from typing import Literal

from torch import Tensor

from lic_exp.capabilities import signed_as
from lic_exp.option_types import NonNegativeFloat, PositiveFloat, Tau
from lic_exp.private_compiler import left_uncompiled
from lic_exp.requirements import NoWeights, Unused, WindowOptions, declares
from lic_exp.spectral_reg import pictures
from lic_exp.spectral_reg.base import Progress, SpectralRegularizer
from lic_exp.spectral_reg.schedules import Window
from lic_exp.spectral_reg.truncation import Truncation
from lic_exp.tracking import names


@signed_as("intra_scale")
@declares(
    WindowOptions(start="truncation_start", length="truncation_length", unit="truncation_unit"),
    Unused("tau_final", {"schedule": "constant"}),
    # A window of one epoch or step stays at its first position.
    Unused("tau_final", {"truncation_length": 1, "truncation_unit": ("epoch", "step")}),
    Unused("schedule", {"truncation_length": 1, "truncation_unit": ("epoch", "step")}),
    NoWeights(),
)
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
        window = Window(truncation_start, truncation_length, truncation_unit)
        self.truncation = Truncation(window, tau_init, tau_final, schedule, mask)
        self.truncation_length, self.truncation_unit = truncation_length, truncation_unit
        self.target = target
        self.end: float | None = None
        self.set_progress(Progress(step=0, epoch=0, share=0.0))

    def set_progress(self, progress: Progress) -> None:
        """Find the position in the stage."""
        window = self.truncation.window
        self.position = window.position(getattr(progress, window.unit))

    # The kept rows, hence shapes, follow tau: traced, this would recompile at every new one and skip the caches.
    @left_uncompiled
    def transform_batch(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Truncate the input, and the target with it unless `target` is "full"."""
        if not self.training or self.position is None:
            return x, target
        x_low = self.truncation.low_pass(x, self.position)
        if self.target == "full":
            return x_low, target
        return x_low, x_low if target is x else self.truncation.low_pass(target, self.position)

    def capture_key(self) -> Hashable:
        return ()  # only the batch is changed

    def scalars(self) -> dict[str, float]:
        """The scheduled tau and the phase; outside the stage tau 1 in phase 0, where 1 stands for the full spectrum."""
        active = self.position is not None
        return {
            names.SPECTRAL_TAU: 1.0 if self.position is None else self.truncation.tau(self.position),
            names.SPECTRAL_PHASE: names.PHASES["phase1_intra" if active else "baseline"],
        }

    def set_end(self, end: Progress) -> None:
        self.end = getattr(end, self.truncation.window.unit)

    def write_pictures(self, photo: Tensor, folder: Path) -> list[Path]:
        """Draw the masks and a photo (3, H, W) in [0, 1] along the schedule, as far as training goes.

        Returns the files written: of a stage that is never reached there are no masks.
        """
        return pictures.write_pictures(self.truncation, photo, folder, self.end)
