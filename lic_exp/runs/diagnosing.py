"""`evaluation.diagnosis` of a training, and the diagnosis of a run's best weights."""

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from lic_exp.config.instantiation import with_message
from lic_exp.config.schema import RunConfig
from lic_exp.evaluation.diagnosis import check_diagnosable, diagnose
from lic_exp.evaluation.diagnosis_files import diagnoses_of, file_after
from lic_exp.evaluation.pictures import unless_it_fails
from lic_exp.evaluation.rates import Rate
from lic_exp.models.base import Codec
from lic_exp.tracking import names
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.objective import Criterion
from lic_exp.training.validation import Validation
from lic_exp.training.variable_rate import VariableRate

Photos = Sequence[tuple[str, Tensor]]

RATES = 3
"""Of a variable-rate codec: the lowest, the middle and the highest."""


def check_diagnosis(config: RunConfig, codec: Codec) -> None:
    """Raise ConfigError where `evaluation.diagnosis` is asked for of a codec that cannot be diagnosed."""
    if config.evaluation.diagnosis:
        with_message(f"evaluation.diagnosis={config.evaluation.diagnosis}", check_diagnosable, codec)


def diagnosed(
    config: RunConfig, validate: Validation, images: Photos, run: RunFolder, step: Callable[[], int]
) -> Callable[[Codec], dict[str, float]]:
    """The validation, which then leaves a diagnosis of what it has judged where `evaluation.diagnosis` asks for one.

    images: those that it judges by. step: tells how many steps were done.
    """
    count = config.evaluation.diagnosis
    return DiagnosedValidation(validate, images[:count], run, step) if count else validate


def drop_diagnoses(run: RunFolder, *, after: int) -> None:
    """Remove those of later steps than `after`, which a training that goes on from there has not made yet."""
    for step, path in diagnoses_of(run):
        if step > after:
            path.unlink()


class DiagnosedValidation:
    """A validation, and the diagnosis of the same weights in the run folder. One that fails is a warning."""

    def __init__(self, validate: Validation, images: Photos, run: RunFolder, step: Callable[[], int]) -> None:
        self.validate, self.images, self.run, self.step = validate, images, run, step

    def __call__(self, codec: Codec) -> dict[str, float]:
        found = self.validate(codec)
        if math.isfinite(found[names.VAL_RD_LOSS]):
            step = self.step()
            with unless_it_fails(f"diagnosis after step {step}"):
                self.run.make(self.run.diagnosis)
                self._diagnose(codec, step)
        return found

    def _diagnose(self, codec: Codec, step: int) -> None:
        code = (self.run.status_if_whole().get("code") or [None])[-1]
        rates = diagnosis_rates(self.validate.criterion, codec)
        diagnose(codec, self.images, rates, self.validate.device, step=step, code=code).write(
            self.run.diagnosis / file_after(step)
        )


def diagnosis_rates(criterion: Criterion, codec: Codec) -> list[Rate] | None:
    """The rates of a diagnosis, always the same of one criterion; None for a codec with one rate."""
    return criterion.range_of(codec).spaced(RATES) if isinstance(criterion, VariableRate) else None
