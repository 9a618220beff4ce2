"""Requests and answers through a pipe between two processes: a few words as JSON, and bytes. Imports nothing heavy.

A picture is its bytes (H, W, 3), with `height` and `width` among the words.
"""

import json
import struct
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

from lic_exp.json_text import json_text

LENGTHS = struct.Struct(">IQ")
"""Of the words and of the bytes, which follow."""


class Frame(NamedTuple):
    """words: what is asked, or what came of it. body: a picture, or a .lic file."""

    words: Mapping[str, Any]
    body: bytes = b""


def write_frame(stream: IO[bytes], frame: Frame) -> None:
    """Write it and hand it over."""
    words = json_text(frame.words).encode()
    stream.write(LENGTHS.pack(len(words), len(frame.body)))
    stream.write(words)
    stream.write(frame.body)
    stream.flush()


def read_frame(stream: IO[bytes]) -> Frame | None:
    """The next one; None where the other side has closed the pipe. Raises EOFError where it ends within a frame."""
    head = stream.read(LENGTHS.size)
    if not head:
        return None
    words_length, body_length = LENGTHS.unpack(_whole(head, LENGTHS.size))
    words = _whole(stream.read(words_length), words_length)
    return Frame(json.loads(words), _whole(stream.read(body_length), body_length))


def _whole(read: bytes, length: int) -> bytes:
    if len(read) < length:
        raise EOFError(f"the pipe ended after {len(read)} of {length} bytes")
    return read
