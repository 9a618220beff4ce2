"""Codec weights from and to files, and which of them train."""

import logging
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lic_exp.models.base import Codec
from lic_exp.models.files import CheckpointError, load_safely, save_whole
from lic_exp.models.weight_files import find_weights, some
from lic_exp.text import visible

log = logging.getLogger("lic_exp.models")

TABLES = (
    *("_offset", "_quantized_cdf", "_cdf_length", "scale_table"),
    *("offset_y", "quantized_cdf_y", "cdf_length_y", "offset_z", "quantized_cdf_z", "cdf_length_z"),
)
"""Endings of entropy-coder tables: `update` makes them from the weights, so a file may have them or not."""


def read_weights(codec: Codec, path: str | Path, place: str | None = None) -> dict[str, Tensor]:
    """A codec's weights in a file, in whatever other tools have wrapped them, without entropy tables.

    place: as `lic_exp.models.weight_files.find_weights` takes it. Nothing in the file is executed. Raises
    CheckpointError where it is damaged, is something else, holds no state dict, or more than one.
    """
    file = Path(path).expanduser()
    found = find_weights(load_safely(file), _without_tables(codec.state_dict()), file, place)
    return _without_tables(found)


def _without_tables(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.endswith(TABLES)}


def load_weights(codec: Codec, path: str | Path, *, partial: bool, place: str | None = None) -> None:
    """Load a codec's weights in place.

    partial: load what fits and log what does not; otherwise everything must fit. place: as of `read_weights`. Raises
    ValueError naming the keys that do not fit, where nothing fits at all, where weights are no plain numbers or not
    finite, and where `Codec.check_weights` does.
    """
    given = read_weights(codec, path, place)
    try:
        codec.check_weights(given)
        given = codec.complete_weights(given)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    own = _without_tables(codec.state_dict())
    fitting = {key: value for key, value in given.items() if key in own and value.shape == own[key].shape}
    misfits = _misfits(given, own)
    if not fitting or (misfits and not partial):
        hint = "" if partial else f". {PARTIAL}"
        raise ValueError(f"{path} does not fit {type(codec).__name__}: {'; '.join(misfits)}{hint}")
    _check_values(fitting, own, path)
    # CompressAI's models want their tables to be there, whatever is in them.
    codec.load_state_dict(codec.state_dict() | fitting)
    for misfit in misfits:
        log.warning("%s, loaded in part: %s", path, misfit)


PARTIAL = "model.partial_weights=true loads what does fit, and leaves the rest as a new model has it"


def _check_values(given: Mapping[str, Tensor], own: Mapping[str, Tensor], path: str | Path) -> None:
    """Raise ValueError, naming the first, where tensors are no plain numbers, or not finite as the codec holds them."""
    for key, value in given.items():
        if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_complex():
            kind = "quantized" if value.is_quantized else "without values" if value.is_meta else "sparse or complex"
            raise ValueError(f"{path}: {visible(key)} is {kind}: save it as a dense tensor of real numbers")
        if own[key].is_floating_point() and not value.is_floating_point():
            kind = f"whole numbers ({str(value.dtype).removeprefix('torch.')}), as of a quantized model"
            raise ValueError(f"{path}: {visible(key)} has {kind}: save the weights as floating-point numbers")
    spoilt = [key for key, value in given.items() if _is_spoilt(value, own[key])]
    if spoilt:
        more = f" and {len(spoilt) - 1} more" if len(spoilt) > 1 else ""
        named = f"{visible(spoilt[0])}{more}"
        raise ValueError(f"{path} holds weights that are not finite, NaN or infinity: {named}; take an earlier file")


def _is_spoilt(value: Tensor, own: Tensor) -> bool:
    """Whether there is NaN or infinity, in the codec's type, where the codec itself has none (as a mask may)."""
    taken = value.detach().to(own.dtype)
    return own.is_floating_point() and bool((~taken.isfinite() & own.isfinite().to(taken.device)).any())


def _misfits(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    other = sorted(key for key in given.keys() & own.keys() if given[key].shape != own[key].shape)
    shapes = [f"{key} {tuple(given[key].shape)} instead of {tuple(own[key].shape)}" for key in other]
    told = [("missing", sorted(own.keys() - given.keys())), ("unknown", sorted(given.keys() - own.keys()))]
    return [f"{what} {some(keys)}" for what, keys in [*told, ("of another shape", shapes)] if keys]


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
    _write(codec.state_dict(), path)


def export_halved(codec: Codec, path: Path) -> None:
    """Write the state dict of a codec that went through `halve`, for `model.weights` alone: the smallest that there is.

    Parameters are float16. Tables are left out, since whoever reads it makes them; other buffers stay as they are,
    because a constant may be too small for float16.
    """
    parameters = {name for name, _ in codec.named_parameters(remove_duplicate=False)}
    state = _without_tables(codec.state_dict())
    _write({key: value.half() if key in parameters else value for key, value in state.items()}, path)


def _write(state: Mapping[str, Tensor], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_whole(state, path)


@torch.no_grad()
def halve(codec: nn.Module) -> None:
    """Give every parameter the nearest value that float16 has. Raises ValueError, naming one that is too large."""
    for name, parameter in codec.named_parameters():
        rounded = parameter.half()
        if not rounded.isfinite().all():
            most = torch.finfo(torch.float16).max
            raise ValueError(f"{visible(name)} reaches {float(parameter.abs().max()):g}, and {most:g} is the largest")
        parameter.copy_(rounded)


def load_fitting(codec: Codec, state: Any, path: Path) -> None:
    """Load a state dict that must fit. Raises CheckpointError, naming the file and the keys, where it does not."""
    try:
        codec.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError, KeyError) as error:
        tensors = isinstance(state, Mapping) and all(isinstance(value, Tensor) for value in state.values())
        misfits = _misfits(_without_tables(state), _without_tables(codec.state_dict())) if tensors else []
        reason = "; ".join(misfits) or ("its entropy tables" if tensors else "what it holds is no state dict")
        raise CheckpointError(f"{path} does not fit the model that its run's config names: {reason}") from error
