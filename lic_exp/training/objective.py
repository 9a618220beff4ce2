"""Codec, criterion and regularizers as one module, so that wrappers (compile, data parallel) see a single forward."""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor, nn

from lic_exp.models.base import Codec, CodecOutput
from lic_exp.progress import Progress
from lic_exp.sections import FORWARD, REGULARIZER, Section
from lic_exp.spectral_reg.base import SpectralRegularizer
from lic_exp.training.criterion import LooksAgain, RateDistortion, derived
from lic_exp.training.variable_rate import VariableRate, variable

Criterion = RateDistortion | VariableRate


class Objective(nn.Module):
    """What a training step minimises.

    A batch passes the regularizers' `transform_batch` in order, the codec, the criterion, and collects the
    regularizers' penalties. Of a criterion of variable rates the codec is told each image's quality and the criterion
    its lmbda. Regularizers are children beside the codec, never inside it: the codec's state dict
    has none of their keys.
    """

    def __init__(self, codec: Codec, criterion: Criterion, regularizers: dict[str, SpectralRegularizer]) -> None:
        super().__init__()
        self.codec = codec
        self.criterion: Criterion = criterion
        self.regularizers = nn.ModuleDict(regularizers)
        self.compiled = False

    def set_progress(self, progress: Progress) -> None:
        """Tell the regularizers where training stands; before every step, outside of what gets compiled."""
        for regularizer in self.spectral_regularizers():
            regularizer.set_progress(progress)

    def draw(self, shares: Tensor) -> tuple[Tensor, ...]:
        """What `forward` takes for each image beside x, (B,) each, of random numbers (B,) float64 in [0, 1).

        Quality and lmbda where the criterion has several; nothing otherwise. Outside of what gets compiled.
        """
        if not isinstance(self.criterion, VariableRate):
            return ()
        return self.criterion.drawn(shares, variable(self.codec).max_quality)

    @Section(REGULARIZER)
    def transformed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the codec is given for the batch x, and what its result is compared with."""
        target = x
        for regularizer in self.spectral_regularizers():
            x, target = regularizer.transform_batch(x, target)
        return x, target

    def forward(self, x: Tensor, *drawn: Tensor, target: Tensor | None = None) -> dict[str, Tensor]:
        """Scalar terms of the batch x (B, 3, H, W) in [0, 1]; "loss" is the one to be differentiated.

        drawn: what `draw` gives; without it, it is made of torch's global generator. target: where x is `transformed`
        already.
        """
        if not drawn and isinstance(self.criterion, VariableRate):
            drawn = tuple(values.to(x.device) for values in self.draw(torch.rand(len(x), dtype=torch.float64)))
        if target is None:
            x, target = self.transformed(x)
        with Section(FORWARD):
            output, terms = self.judged(x, target, *drawn)
            if isinstance(self.criterion, LooksAgain):
                terms = self.criterion.weighed(terms)
        return self._with_penalties(output, terms)

    @Section(REGULARIZER)
    def _with_penalties(self, output: CodecOutput, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        for name, regularizer in zip(self.regularizers, self.spectral_regularizers(), strict=True):
            penalty = regularizer.penalty(output)
            if penalty is not None:
                penalty = regularizer.weigh(penalty, output, terms)
                terms |= {f"{name}_penalty": penalty.detach(), "loss": terms["loss"] + penalty}
        return terms

    def judged(self, x: Tensor, target: Tensor, *drawn: Tensor) -> tuple[CodecOutput, dict[str, Tensor]]:
        """The codec's output for x and the criterion's terms of it: what may be compiled as one graph."""
        quality, lmbda = drawn[:1], drawn[1:]
        output = self.codec(x, *quality)
        return output, self.criterion(output, target, *lmbda)

    @property
    def looks_again(self) -> bool:
        """Whether `after_update` is to be called after every update."""
        return isinstance(self.criterion, LooksAgain)

    def after_update(self, before: dict[str, Tensor], after: dict[str, Tensor], updated: Tensor) -> None:
        """Have the criterion learn from what an update has made of its terms, as `LooksAgain.after_update` says."""
        if isinstance(self.criterion, LooksAgain):
            self.criterion.after_update(before, after, updated)

    def completed(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of a batch, of the means of those of its parts: what is no mean over images is made of others."""
        return terms | derived(terms)

    def compile_judgement(self, backend: Any, options: dict[str, Any] | None = None) -> None:
        """Have `judged` compiled when it is called next, by a backend that is given these options."""
        self.judged = torch.compile(self.judged, backend=backend, options=options, dynamic=False)  # type: ignore[method-assign]
        self.compiled = True

    def after_validation(self, now: float, best: float, step: int) -> None:
        """Tell the regularizers what a validation gave, and what the best before it."""
        for regularizer in self.spectral_regularizers():
            regularizer.after_validation(now, best, step)

    def trained(self) -> dict[str, Any]:
        """The state of each part that training changes."""
        return {
            "codec": self.codec.state_dict(),
            "regularizers": self.regularizers.state_dict(),
            "criterion": self.criterion.state_dict(),
        }

    def load_trained(self, state: dict[str, Any]) -> None:
        """Stand where `trained` was taken. Raises what the parts raise where they were built otherwise.

        A state of an earlier version says nothing of the criterion, which then stays as it is.
        """
        self.codec.load_state_dict(state["codec"])
        self.regularizers.load_state_dict(state["regularizers"])
        self.criterion.load_state_dict(state.get("criterion") or self.criterion.state_dict())

    def aux_loss(self) -> Tensor:
        return self.codec.aux_loss()

    def scalars(self) -> dict[str, float]:
        """What the regularizers report of the last step, by metric name."""
        return {
            name: value for regularizer in self.spectral_regularizers() for name, value in regularizer.scalars().items()
        }

    def capture_key(self) -> Hashable | None:
        """What the next step is recorded under; None where it has to be made without."""
        keys = [regularizer.capture_key() for regularizer in self.spectral_regularizers()]
        return None if None in keys else tuple(keys)

    def all_regularizers(self) -> list[SpectralRegularizer]:
        """With those inside others."""
        return [module for module in self.regularizers.modules() if isinstance(module, SpectralRegularizer)]

    def spectral_regularizers(self) -> list[SpectralRegularizer]:
        return [module for module in self.regularizers.values() if isinstance(module, SpectralRegularizer)]
