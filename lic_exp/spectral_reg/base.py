"""The regularizer contract: hooks, each of which does nothing unless overridden."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from lic_exp.capabilities import RegularizerNeeds
from lic_exp.models.base import Codec, CodecOutput
from lic_exp.progress import Progress

__all__ = ["Progress", "SpectralRegularizer"]


class SpectralRegularizer(nn.Module):
    """A training-only change of the batch or of the loss.

    It is inactive in `eval()`: `transform_batch` returns its arguments and `penalty` returns None. Its parameters
    never enter the codec's state dict; they form their own optimizer group. Options are keyword-only constructor
    parameters.
    """

    needs: ClassVar[RegularizerNeeds] = RegularizerNeeds()
    seen: Any = None
    """What `scalars` needs of the last batch, detached, which a replayed step puts back."""

    def attach(self, codec: Codec) -> None:
        """Called once, before any optimizer is made: what depends on the codec, such as parameters, is made here.

        Raises ValueError where the codec lacks what the regularizer was asked to work on. The codec itself must not
        become a child.
        """

    def set_progress(self, progress: Progress) -> None:
        """Called before every training step."""

    def transform_batch(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Replace the codec's input and the criterion's target, both (B, 3, H, W).

        They may become smaller, both alike, with sides that are multiples of the codec's downsampling factor.
        Outside its window a regularizer returns the very tensors it was given.
        """
        return x, target

    def penalty(self, output: CodecOutput) -> Tensor | None:
        """A scalar to be added to the loss, weighted already, or None where there is none."""
        return None

    def weigh(self, penalty: Tensor, output: CodecOutput, terms: dict[str, Tensor]) -> Tensor:
        """What is added to the loss in the end, from `penalty` and the other terms with their graphs ("loss" first).

        Here gradients can be compared, and DivergedError raised before the update.
        """
        return penalty

    def capture_key(self) -> Hashable | None:
        """What else than tensors the next step's `penalty` and `weigh` depend on; None where they look at values.

        Steps of one key are one recording (`lic_exp.training.capture`); those of None are made without. None is what
        nobody knows better of. `transform_batch` is never recorded.
        """
        return None

    def after_validation(self, now: float, best: float, step: int) -> None:
        """Called after a validation that gave `now` of what had been `best` at best, infinite where there was none.

        Here DivergedError may be raised; `step` is how many had been done.
        """

    def scalars(self) -> dict[str, float]:
        """What to log of the last step, by full metric name (`lic_exp.tracking.names`)."""
        return {}

    def set_end(self, end: Progress) -> None:
        """Called once, before pictures are drawn: where training will end, in steps, epochs and the share 1."""

    def write_pictures(self, photo: Tensor, folder: Path) -> list[Path]:
        """Picture what the regularizer does in a training, on a photo (3, H, W) in [0, 1]; returns the files made.

        Called with the first validation, or where training ends before it, and not again by an attempt that goes on.
        """
        return []
