"""A resolution curriculum: for a stage of training the whole batch is shown smaller, and costs accordingly less."""

from collections.abc import Hashable
from pathlib import Path
from typing import Literal

from torch import Tensor

from lic_exp.capabilities import signed_as
from lic_exp.models.base import Codec
from lic_exp.ops.resampling import Resampling, resample
from lic_exp.option_types import NonNegativeFloat, PositiveFloat, Tau
from lic_exp.private_compiler import left_uncompiled
from lic_exp.requirements import NoWeights, ShownSides, Unused, WindowOptions, declares
from lic_exp.shown_sides import shown_side
from lic_exp.spectral_reg.base import Progress, SpectralRegularizer
from lic_exp.spectral_reg.schedules import SCHEDULES, Window
from lic_exp.spectral_reg.size_picture import write_sizes
from lic_exp.tracking import names


@signed_as("resolution")
@declares(
    WindowOptions(start="start", length="length", unit="unit"),
    ShownSides(first="side_init", last="side_final", schedule="schedule", still="constant"),
    Unused("side_final", {"schedule": "constant"}),
    # A window of one epoch or step stays at its first position.
    Unused("side_final", {"length": 1, "unit": ("epoch", "step")}),
    Unused("schedule", {"length": 1, "unit": ("epoch", "step")}),
    NoWeights(),
)
class Resolution(SpectralRegularizer):
    """Input and target resampled to a part of their sides over a stage, so that a step costs about the square of it.

    Rate and distortion are then those of the smaller picture. Outside the stage and in `eval()` the batch passes as the
    very same tensors. All is a function of the last `Progress`, so a resumed run continues exactly.

    side_init, side_final: shares of the crop's sides at the first and at the last position of the stage. M of N pixels
        is the nearest multiple of the codec's downsampling factor, at least one of it and at most N.
    schedule: the way between them (`schedules`), in steps of that factor; `constant` stays at side_init.
    length, start: the stage [start, start + length) in unit: "epoch", "step", or "share" of all training steps.
    method: "dct" (the lowest M of N coefficients per axis, times sqrt(M / N)), "area" or "lanczos"; see
        `lic_exp.ops.resampling.resample`.
    """

    def __init__(
        self,
        *,
        side_init: Tau,
        side_final: Tau,
        schedule: Literal["linear", "cosine", "exponential", "constant"],
        length: PositiveFloat,
        unit: Literal["epoch", "step", "share"],
        start: NonNegativeFloat,
        method: Literal["dct", "area", "lanczos"],
    ) -> None:
        super().__init__()
        self.window = Window(start, length, unit)
        self.side_init, self.side_final, self.schedule = side_init, side_final, schedule
        self.method: Resampling = method
        self.factor = 1
        self.end: float | None = None
        self.set_progress(Progress(step=0, epoch=0, share=0.0))

    def attach(self, codec: Codec) -> None:
        self.factor = codec.facts.downsampling_factor

    def set_progress(self, progress: Progress) -> None:
        """Find the position in the stage."""
        self.position = self.window.position(getattr(progress, self.window.unit))

    def side(self, position: float | None) -> float:
        """The share of the crop's sides there, 1 outside the stage."""
        return 1.0 if position is None else SCHEDULES[self.schedule](position, self.side_init, self.side_final)

    def shown(self, x: Tensor, position: float | None) -> Tensor:
        """The images x (..., H, W) as training sees them there."""
        side = self.side(position)
        height, width = (shown_side(side, full, self.factor) for full in x.shape[-2:])
        return resample(x, (height, width), self.method)

    # Its shapes follow the schedule: traced, this would recompile at every new one and skip the caches.
    @left_uncompiled
    def transform_batch(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if not self.training or self.position is None:
            return x, target
        smaller = self.shown(x, self.position)
        return smaller, smaller if target is x else self.shown(target, self.position)

    def capture_key(self) -> Hashable:
        return ()  # only the batch is changed, and recordings are told apart by its shape

    def scalars(self) -> dict[str, float]:
        """The scheduled share of the sides."""
        return {names.SPECTRAL_SIDE: self.side(self.position)}

    def set_end(self, end: Progress) -> None:
        self.end = getattr(end, self.window.unit)

    def write_pictures(self, photo: Tensor, folder: Path) -> list[Path]:
        """Draw a photo (3, H, W) in [0, 1] as training sees it, size by size."""
        return write_sizes(self.window, self.shown, photo, folder, self.end)
