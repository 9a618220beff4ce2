"""How much of the training images was computed with: what a regularizer that shows them smaller saves."""

from collections.abc import Sequence

from torch import Tensor

from lic_exp.ops.ranks import world
from lic_exp.tracking import names


class PixelCount:
    """Pixels of the batches as they were loaded, and as the codec was given them, of all ranks and steps together.

    last: those that this rank's codec was given in the last step.
    """

    def __init__(self) -> None:
        self.loaded = self.computed = self.last = 0

    def add(self, loaded: Tensor, computed: Sequence[Tensor]) -> None:
        """Count a step. loaded: this rank's images (B, 3, H, W). computed: the same in parts, of any size."""
        self.last = sum(map(_pixels, computed))
        self.loaded += world() * _pixels(loaded)
        self.computed += world() * self.last

    def scalars(self) -> dict[str, float]:
        """The share that was computed, by metric name; nothing while all was, as in most trainings throughout."""
        return {names.TRAIN_PIXEL_SHARE: self.computed / self.loaded} if self.computed != self.loaded else {}

    def state_dict(self) -> dict[str, int]:
        return {"loaded": self.loaded, "computed": self.computed}

    def load_state_dict(self, state: dict[str, int] | None) -> None:
        """None: of a checkpoint of an earlier version, all of whose steps were computed whole."""
        self.loaded, self.computed = (0, 0) if state is None else (state["loaded"], state["computed"])


def _pixels(images: Tensor) -> int:
    return len(images) * images.shape[-2] * images.shape[-1]
