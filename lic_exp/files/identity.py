"""Which codec a file is of: what it computes, by its options, and with what, by its weights' bits."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from lic_exp.component_schema import ComponentError, ComponentSchema, describe
from lic_exp.files.layout import SHOWN_DIGITS, SIGNATURE_BYTES, TABLES_BYTES
from lic_exp.models.base import Codec
from lic_exp.models.coding import written
from lic_exp.models.weights import TABLES
from lic_exp.option_types import Neutral

COUNTERS = ("num_batches_tracked",)
"""Endings of buffers by which nothing is computed in eval mode."""


@dataclass(frozen=True)
class CodecIdentity:
    """The name that signatures have for a codec's class, and SIGNATURE_BYTES of a hash of all that it computes with."""

    name: str
    signature: bytes

    def __str__(self) -> str:
        return f"{self.name} {self.signature.hex()[:SHOWN_DIGITS]}"


def identity(codec: Codec) -> CodecIdentity:
    """The identity of a codec with its weights of now.

    Coding tables, counters, options that only decide what weights begin as (`Codec.initial_options`) and those of
    encoders (`Codec.encoder_options`) tell no codecs apart, nor do a later version's further options at the value that
    means "as before".
    """
    now = written(codec)
    before, known = _known.get(codec, ((), None))
    if known is None or before != now:
        schema = _schema(type(codec))
        name = schema.code_name if schema else _full_name(type(codec))
        known = CodecIdentity(name, _signature(codec, name, schema))
        _known[codec] = now, known
    return known


def tables_hash(codec: Codec) -> bytes:
    """TABLES_BYTES of a hash of a codec's coding tables, which its last `update` made."""
    digest = hashlib.sha256()
    for key, table in sorted(codec.state_dict().items()):
        if key.endswith(TABLES) and not table.is_floating_point():
            _add(digest, key, table.to(torch.int64))
    return digest.digest()[:TABLES_BYTES]


_known: WeakKeyDictionary[Codec, tuple[tuple[int, ...], CodecIdentity]] = WeakKeyDictionary()
"""What was found last, beside what tells whether weights were written to since."""


def _signature(codec: Codec, name: str, schema: ComponentSchema | None) -> bytes:
    options = dict(_telling_options(codec, schema))
    digest = hashlib.sha256(json.dumps([name, options], sort_keys=True, separators=(",", ":")).encode())
    state = codec.state_dict()
    for key, tensor in sorted(state.items()):
        if not key.endswith((*TABLES, *COUNTERS)):
            # What CompressAI's masked convolutions do not see is 0 or not, as it was last used.
            mask = state.get(f"{key.removesuffix('weight')}mask") if key.endswith(".weight") else None
            _add(digest, key, tensor if mask is None else tensor * mask)
    return digest.digest()[:SIGNATURE_BYTES]


def _telling_options(codec: Codec, schema: ComponentSchema | None) -> Iterator[tuple[str, Any]]:
    left_out = {*codec.initial_options, *codec.encoder_options, *(schema.unused(codec.made_with) if schema else ())}
    for key, value in codec.made_with.items():
        marks: Sequence[Any] = getattr(schema.options.get(key), "__metadata__", ()) if schema else ()
        if key not in left_out and not any(isinstance(mark, Neutral) and mark.value == value for mark in marks):
            yield key, _form(value)


def _form(value: Any) -> Any:
    """An option as it is hashed: a number is the same however it is written, and a part is told by its weights."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _form(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_form(part) for part in value]
    return value if value is None or isinstance(value, bool | int | float | str) else _full_name(type(value))


def _add(digest: Any, key: str, tensor: Tensor) -> None:
    values = tensor.detach().cpu().contiguous()
    digest.update(f"\0{key}\0{values.dtype}\0{tuple(values.shape)}\0".encode())
    digest.update(values.reshape(-1).view(torch.uint8).numpy())


def _schema(kind: type) -> ComponentSchema | None:
    """None of a class whose source cannot be read, as one that was made in a shell."""
    try:
        return describe(_full_name(kind))
    except ComponentError:
        return None


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
