"""Codec weights from and to files, and which of them train."""

import logging
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lic_exp.models.base import Codec
from lic_exp.models.files import CheckpointError, load_safely, save_whole

log = logging.getLogger("lic_exp.models")

TABLES = (
    *("_offset", "_quantized_cdf", "_cdf_length", "scale_table"),
    *("offset_y", "quantized_cdf_y", "cdf_length_y", "offset_z", "quantized_cdf_z", "cdf_length_z"),
)
"""Endings of entropy-coder tables: `update` makes them from the weights, so a file may have them or not."""

WRAPPERS = ("codec", "state_dict", "model_state_dict", "model")
"""Keys under which training scripts keep a codec's weights; ours is the first."""


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The weights in a file: a plain state dict, or one inside a checkpoint; without `module.` and entropy tables.

    Nothing in the file is executed. Raises CheckpointError where it is damaged or holds no state dict.
    """
    file = Path(path).expanduser()
    content = load_safely(file)
    while isinstance(content, Mapping) and not _is_state_dict(content):
        content = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{file} holds no state dict, neither as it is nor under {', '.join(WRAPPERS)}")
    plain = {str(key).removeprefix("module."): value for key, value in content.items()}
    return {key: value for key, value in plain.items() if not key.endswith(TABLES)}


def _is_state_dict(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(isinstance(value, Tensor) for value in content.values())


def load_weights(codec: Codec, path: str | Path, *, partial: bool) -> None:
    """Load a codec's weights in place.

    partial: load what fits and log what does not; otherwise everything must fit. Raises ValueError naming the keys
    that do not, where nothing fits at all, and where `Codec.check_weights` does.
    """
    given = read_weights(path)
    codec.check_weights(given)
    given = codec.complete_weights(given)
    own = {key: value for key, value in codec.state_dict().items() if not key.endswith(TABLES)}
    fitting = {key: value for key, value in given.items() if key in own and value.shape == own[key].shape}
    misfits = _misfits(given, own)
    if not fitting or (misfits and not partial):
        hint = "" if partial else ". model.partial_weights=true loads what does fit"
        raise ValueError(f"{path} does not fit {type(codec).__name__}: {'; '.join(misfits)}{hint}")
    # CompressAI's models want their tables to be there, whatever is in them.
    codec.load_state_dict(codec.state_dict() | fitting)
    for misfit in misfits:
        log.warning("%s, loaded in part: %s", path, misfit)


def _misfits(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    other = sorted(key for key in given.keys() & own.keys() if given[key].shape != own[key].shape)
    shapes = [f"{key} {tuple(given[key].shape)} instead of {tuple(own[key].shape)}" for key in other]
    told = [("missing", sorted(own.keys() - given.keys())), ("unknown", sorted(given.keys() - own.keys()))]
    return [f"{what} {_some(keys)}" for what, keys in [*told, ("of another shape", shapes)] if keys]


def _some(keys: Sequence[str], most: int = 8) -> str:
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return f"{', '.join(keys[:most])}{more}"


def freeze(codec: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Stop the parameters whose names match a shell pattern (`g_a.*`) from training; their names.

    Raises ValueError for a pattern that matches none.
    """
    frozen = []
    for pattern in patterns:
        names = matching(codec, pattern)
        for name in names:
            codec.get_parameter(name).requires_grad_(False)
        frozen += names
    return frozen


def matching(codec: nn.Module, pattern: str) -> list[str]:
    """Names of the parameters that a shell pattern matches. Raises ValueError where there is none."""
    names = [name for name, _ in codec.named_parameters()]
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        parts = sorted({name.split(".")[0] for name in names})
        raise ValueError(f"{pattern!r} matches no parameter; they begin with {', '.join(parts)}, e.g. {parts[0]}.*")
    return found


def export_weights(codec: Codec, path: Path) -> None:
    """Write the codec's plain state dict with its entropy tables, as CompressAI and `model.weights` read it."""
    codec.update(force=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_whole(codec.state_dict(), path)


def load_fitting(codec: Codec, state: Any, path: Path) -> None:
    """Load a state dict that must fit. Raises CheckpointError, naming the file, where it does not."""
    try:
        codec.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path} does not fit the model that its run's config names: {reason}") from error
