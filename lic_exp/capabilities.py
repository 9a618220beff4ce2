"""What must be known of a component without importing it: its name in signatures, and what it can and needs.

The name is a decorator's argument, the rest a class attribute whose arguments are literals, so that
`lic_exp.component_schema` can read them from the source text. A contract test compares every statement with the built
object.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Definition = TypeVar("Definition", bound=Callable[..., object])


def signed_as(name: str) -> Callable[[Definition], Definition]:
    """Gives a component the name that signatures have for it, and that stays when its class or file gets another.

    A component of a user's own package may do without: it is signed by its package and its name there.
    """

    def unchanged(definition: Definition) -> Definition:
        return definition

    return unchanged


@dataclass(frozen=True)
class CodecFacts:
    """What a codec can do.

    downsampling_factor: image sides must be a multiple of it [pixels].
    latents: number of entries of `CodecOutput.latents`.
    variable_rate: whether one set of weights serves a range of rates.
    nested_latents: whether `CodecOutput.latents` are samples of one latent, the coarser ones contained in the finer.
    dtypes: torch's names of the numbers that all its weights may be: ("float32", "float64"); others are refused. Empty:
        it does not say, and nobody looks.
    autocast: what `trainer.precision` may be beside float32.
    """

    downsampling_factor: int
    latents: int
    variable_rate: bool = False
    nested_latents: bool = False
    dtypes: tuple[str, ...] = ()
    autocast: tuple[str, ...] = ("bf16", "fp16")


@dataclass(frozen=True)
class RegularizerNeeds:
    """What a regularizer asks of the codec: at least `latents` entries of `CodecOutput.latents`."""

    latents: int = 0


@dataclass(frozen=True)
class TrackerNeeds:
    """The package that a tracker works with, and the extra of ours that installs it."""

    package: str
    extra: str


@dataclass(frozen=True)
class CriterionFacts:
    """What a criterion asks of the crop and of the codec.

    min_crop_size: smallest training and validation image side [pixels].
    variable_rate: whether it needs a variable-rate codec.
    second_look: whether it is shown each batch once more after the update, for which a step computes a second forward
        pass (`lic_exp.training.criterion.LooksAgain`).
    """

    min_crop_size: int = 1
    variable_rate: bool = False
    second_look: bool = False
