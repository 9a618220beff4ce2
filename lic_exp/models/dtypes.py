"""What numbers a codec computes with: others, or none, are refused by name, before a kernel refuses them by its own."""

from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from lic_exp.ops.precision import autocast_dtype

AUTOCAST = {torch.float32, torch.bfloat16, torch.float16}
"""What torch's autocast converts by itself."""

INSTEAD = {"bfloat16": "bf16", "float16": "fp16"}
"""What a training in such numbers is called as `trainer.precision`."""


class Dtyped(Protocol):
    """What is looked at here of a codec."""

    facts: ClassVar[Any]

    def parameters(self) -> Iterator[nn.Parameter]: ...


def check_image(codec: Dtyped, x: Tensor) -> None:
    """Raise ValueError where x has other numbers than the codec's weights, or both have such as it does not take.

    Looks at one of the weights, which costs nothing beside a forward pass; `check_weight_dtypes` at all. Under autocast
    it may be one that was cast beforehand (`lic_exp.training.casting`).
    """
    weight = next(codec.parameters(), None)
    if not codec.facts.dtypes or weight is None:
        return
    converted = autocast_dtype(x.device)
    if converted != weight.dtype:
        _check_allowed(codec, [weight.dtype])
    if x.dtype == weight.dtype or (converted is not None and {x.dtype, weight.dtype} <= AUTOCAST):
        return
    given, own = _name(x.dtype), _name(weight.dtype)
    if not x.is_floating_point():
        raise ValueError(f"x has {given}, but a codec takes images in [0, 1], floating-point numbers: convert it first")
    message = f"x has {given}, but the weights of this {type(codec).__name__} are {own}: give it x.to(torch.{own})"
    raise ValueError(f"{message}, or the codec {given}" if given in codec.facts.dtypes else message)


def check_weight_dtypes(codec: Dtyped) -> None:
    """Raise ValueError for weights that have numbers of several kinds, or such as the codec does not take."""
    if codec.facts.dtypes:
        _check_allowed(codec, list(dict.fromkeys(weight.dtype for weight in codec.parameters())))


def check_weights_there(codec: Dtyped) -> None:
    """Raise ValueError where weights are on the device meta, which keeps no values."""
    if any(weight.is_meta for weight in codec.parameters()):
        raise ValueError(
            f"the weights of this {type(codec).__name__} are on the device meta, where they have no values, so it "
            "codes nothing: make it elsewhere, or load weights with assign=True"
        )


def _check_allowed(codec: Dtyped, found: list[torch.dtype]) -> None:
    kind, allowed, names = type(codec).__name__, codec.facts.dtypes, [_name(dtype) for dtype in found]
    takes = f"{kind} computes in {' or '.join(allowed)} as a whole: make it so, e.g. by .float()"
    if wrong := [name for name in names if name not in allowed]:
        instead = [
            f"{name} is for torch.autocast (trainer.precision={INSTEAD[name]})" for name in wrong if name in INSTEAD
        ]
        raise ValueError("; ".join([f"weights of {' and '.join(wrong)}, but {takes}", *instead]))
    if len(names) > 1:
        raise ValueError(f"weights of {' and '.join(names)} at once, but {takes}")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
