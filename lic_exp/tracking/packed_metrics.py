"""A metrics.jsonl made small: the same bytes of the same lines, whoever packs them. Imports no torch."""

import gzip
import io
import zlib

from lic_exp.records import RecordError

SUFFIX = ".gz"

MOST_UNPACKED = 2**30
"""Bytes of a metrics.jsonl that was packed: one of a million entries has a third of them."""


def packed(data: bytes) -> bytes:
    """The content of a metrics.jsonl as gzip has it, without the name and the time that gzip would note."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def unpacked(name: str, data: bytes) -> bytes:
    """Inverse of `packed`. name: of the file, for messages. Raises RecordError for what is no whole gzip file."""
    reader = zlib.decompressobj(wbits=31)
    try:
        found = reader.decompress(data, MOST_UNPACKED)
    except zlib.error as error:
        raise RecordError(name, f"it is no gzip file: {error}") from error
    if reader.unconsumed_tail:
        raise RecordError(name, f"unpacked it has more than {MOST_UNPACKED} bytes, the most that it could need")
    if not reader.eof or reader.unused_data:
        raise RecordError(name, "it is no whole gzip file")
    return found
