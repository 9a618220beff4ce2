"""What the start-up checks must know of a component without importing it.

Components state these as a class attribute whose arguments are literals, so that `lic_exp.catalogue` can read
them from the source text. A contract test compares every statement with the built object.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class CodecFacts:
    """What a codec can do.

    downsampling_factor: image sides must be a multiple of it [pixels].
    latents: number of entries of `CodecOutput.latents`.
    variable_rate: whether one set of weights serves a range of rates.
    nested_latents: whether `CodecOutput.latents` are samples of one latent, the coarser ones contained in the finer.
    """

    downsampling_factor: int
    latents: int
    variable_rate: bool = False
    nested_latents: bool = False


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
    """What a criterion asks of lmbda and of the crop.

    lmbda_min, lmbda_max: values outside look like another convention, in this criterion's unit.
    min_crop_size: smallest training and validation image side [pixels].
    variable_rate: whether it needs a variable-rate codec.
    """

    lmbda_min: float = 0.0
    lmbda_max: float = float("inf")
    min_crop_size: int = 1
    variable_rate: bool = False
