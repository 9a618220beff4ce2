"""Both regularizers of the paper, one after the other."""

from collections.abc import Hashable
from pathlib import Path

from torch import Tensor

from lic_exp.capabilities import RegularizerNeeds, signed_as
from lic_exp.conditions import Above, Not, Option
from lic_exp.models.base import Codec, CodecOutput
from lic_exp.option_types import NonNegativeFloat, Part
from lic_exp.requirements import Follows, Forbids, NoWeights, declares
from lic_exp.spectral_reg.base import Progress, SpectralRegularizer
from lic_exp.spectral_reg.between_scales import BetweenScales
from lic_exp.spectral_reg.intra_scale import IntraScale
from lic_exp.tracking import names


@signed_as("two_stage")
@declares(
    Forbids(
        {"inter.start": Not(None), "intra.truncation_length": Not(None)},
        "inter.start={inter.start}: after an intra-scale stage the term begins where that ends; set inter.start=null, "
        "and overlap to begin earlier",
    ),
    Forbids(
        {"inter.unit": Not(Option("intra.truncation_unit"))},
        "inter.unit={inter.unit} must be intra.truncation_unit={intra.truncation_unit}, since one follows the other",
    ),
    Forbids(
        {"overlap": Above(Option("intra.truncation_length"))},
        "overlap={overlap} is longer than the first stage, intra.truncation_length={intra.truncation_length}",
    ),
    Follows(part="inter", after="intra", overlap="overlap"),
    NoWeights(),
)
class TwoStage(SpectralRegularizer):
    """`IntraScale` over its stage, then a term between scales (`InterScale`, `InterPredict`) to the end of training.

    intra, inter: the two. inter has no start of its own, and counts in the unit of intra.
    overlap: how long before the end of intra's stage inter begins, in that unit.

    `spectral/phase` is 1 in the first stage and 2 from inter's start on; in an overlap `spectral/tau` is below 1 too.
    """

    needs = RegularizerNeeds(latents=2)

    def __init__(self, *, intra: Part, inter: Part, overlap: NonNegativeFloat) -> None:
        super().__init__()
        for key, part, kind in (("intra", intra, IntraScale), ("inter", inter, BetweenScales)):
            if not isinstance(part, kind):
                raise ValueError(f"{key} must be of {kind.__name__}, not of {type(part).__name__}")
        self.intra: IntraScale = intra
        self.inter: BetweenScales = inter
        window = intra.truncation.window
        start = window.start + window.length - overlap
        if window.unit == "share" and start >= 1:
            raise ValueError(
                "the first stage lasts to the end of the training, so that the second would never begin: set a smaller "
                "intra.truncation_length, or an overlap"
            )
        inter.start_at(start)
        self.set_progress(Progress(step=0, epoch=0, share=0.0))

    def attach(self, codec: Codec) -> None:
        self.inter.attach(codec)

    def set_progress(self, progress: Progress) -> None:
        self.intra.set_progress(progress)
        self.inter.set_progress(progress)

    def transform_batch(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        changed: tuple[Tensor, Tensor] = self.intra.transform_batch(x, target)
        return changed

    def penalty(self, output: CodecOutput) -> Tensor | None:
        return self.inter.penalty(output)

    def weigh(self, penalty: Tensor, output: CodecOutput, terms: dict[str, Tensor]) -> Tensor:
        return self.inter.weigh(penalty, output, terms)

    def capture_key(self) -> Hashable | None:
        return self.inter.capture_key()

    def after_validation(self, now: float, best: float, step: int) -> None:
        self.inter.after_validation(now, best, step)

    def scalars(self) -> dict[str, float]:
        first, second = self.intra.scalars(), self.inter.scalars()
        phase = second if self.inter.factor is not None else first
        return first | second | {names.SPECTRAL_PHASE: phase[names.SPECTRAL_PHASE]}

    def set_end(self, end: Progress) -> None:
        self.intra.set_end(end)
        self.inter.set_end(end)

    def write_pictures(self, photo: Tensor, folder: Path) -> list[Path]:
        return self.intra.write_pictures(photo, folder)
