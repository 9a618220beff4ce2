"""Codec, criterion and regularizers as one module, so that wrappers (compile, data parallel) see a single forward."""

from torch import Tensor, nn

from lic_exp.models.base import Codec, CodecOutput
from lic_exp.progress import Progress
from lic_exp.spectral_reg.base import SpectralRegularizer
from lic_exp.training.criterion import RateDistortion
from lic_exp.training.variable_rate import VariableRate, variable

Criterion = RateDistortion | VariableRate


class Objective(nn.Module):
    """What a training step minimises.

    A batch passes the regularizers' `transform_batch` in order, the codec, the criterion, and collects the
    regularizers' penalties. A criterion of variable rates draws one per image, of which the codec is told the quality
    and the criterion the lmbda. Regularizers are children beside the codec, never inside it: the codec's state dict
    has none of their keys.
    """

    def __init__(self, codec: Codec, criterion: Criterion, regularizers: dict[str, SpectralRegularizer]) -> None:
        super().__init__()
        self.codec = codec
        self.criterion: Criterion = criterion
        self.regularizers = nn.ModuleDict(regularizers)

    def set_progress(self, progress: Progress) -> None:
        """Tell the regularizers where training stands; before every step, outside of what gets compiled."""
        for regularizer in self.spectral_regularizers():
            regularizer.set_progress(progress)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Scalar terms of the batch x (B, 3, H, W) in [0, 1]; "loss" is the one to be differentiated."""
        target = x
        for regularizer in self.spectral_regularizers():
            x, target = regularizer.transform_batch(x, target)
        output, lmbda = self._code(x)
        terms: dict[str, Tensor] = self.criterion(output, target, *lmbda)
        for name, regularizer in zip(self.regularizers, self.spectral_regularizers(), strict=True):
            penalty = regularizer.penalty(output)
            if penalty is not None:
                penalty = regularizer.weigh(penalty, output, terms)
                terms |= {f"{name}_penalty": penalty.detach(), "loss": terms["loss"] + penalty}
        return terms

    def _code(self, x: Tensor) -> tuple[CodecOutput, tuple[Tensor, ...]]:
        """The codec's output for x, and the images' lmbda (B,) where each has its own."""
        if not isinstance(self.criterion, VariableRate):
            return self.codec(x), ()
        drawn = self.criterion.draw(len(x), variable(self.codec).max_quality)
        quality, lmbda = (values.to(x.device) for values in drawn)
        return self.codec(x, quality), (lmbda,)

    def after_validation(self, now: float, best: float, step: int) -> None:
        """Tell the regularizers what a validation gave, and what the best before it."""
        for regularizer in self.spectral_regularizers():
            regularizer.after_validation(now, best, step)

    def aux_loss(self) -> Tensor:
        return self.codec.aux_loss()

    def scalars(self) -> dict[str, float]:
        """What the regularizers report of the last step, by metric name."""
        return {
            name: value for regularizer in self.spectral_regularizers() for name, value in regularizer.scalars().items()
        }

    def spectral_regularizers(self) -> list[SpectralRegularizer]:
        return [module for module in self.regularizers.values() if isinstance(module, SpectralRegularizer)]
