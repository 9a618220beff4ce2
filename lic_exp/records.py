"""Files that are read back. What comes out is of the shape that we write, or an error names the file and says why not.

A run folder lies on a disk for years: files get torn, edited, overwritten by other tools. One that is damaged is its
run's or its cell's own trouble, so a reader has one error to expect, and goes on with the others. Imports no torch.

A kind is a `TypedDict` of the keys that somebody reads, decorated by `with_config(RECORD)`: types are not converted,
and further keys are kept as they are, since a later version may write more. One that writes otherwise counts
`schema_version` up.
"""

import os
import reprlib
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json

SCHEMA_VERSION = 2
"""Of configs and of what is written beside them; see docs/configuration.md."""

NO_VERSION = 10**6
"""A number so large was written by nobody."""

MOST_BYTES = 256 * 2**20
"""No file of ours is larger, but for images, weights, logs and metrics."""

RECORD = ConfigDict(extra="allow", strict=True)

Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""Steps, bytes, numbers of things."""

Pid = Annotated[int, Field(ge=0, le=2**31 - 1)]

Instant = Annotated[float, Field(ge=0, le=2.5e11, allow_inf_nan=False)]
"""Unix time [s] that is a date: before the year 9893."""

Amount = Annotated[float, Field(allow_inf_nan=False)]

FileName = Annotated[str, Field(pattern=r"^[^./\x00-\x1f][^/\x00-\x1f]*$", max_length=200)]
"""The name of a file or folder in another, and no way out of that."""

T = TypeVar("T")


class RecordError(ValueError):
    """A file is there and cannot be read, or holds something else than it should.

    path: the file. reason: what is wrong with it, in a line.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path} cannot be read: {reason}")
        self.path = Path(path)
        self.reason = reason


class NewerError(RecordError):
    """A file was written by a newer version of this package. It is whole, and must be left alone."""


def read_record(path: Path, kind: type[T]) -> T:
    """What a JSON file of this kind holds. Raises FileNotFoundError, RecordError, and NewerError of a newer one."""
    return checked(path, read_file(path), kind)


def checked(path: Path | str, data: bytes, kind: type[T]) -> T:
    """The same of a file's content. path: for messages."""
    shape: Any = kind
    try:
        record: T = _adapter(shape).validate_json(data)
    except ValidationError as error:
        content = None
        with suppress(ValueError):  # no JSON at all
            content = from_json(data)
        _check_version(path, content)
        raise RecordError(path, _reason(error)) from None
    _check_version(path, record)
    return record


def checked_value(path: Path | str, value: Any, kind: type[T]) -> T:
    """The same of a value that was read already. path: for messages."""
    shape: Any = kind
    try:
        record: T = _adapter(shape).validate_python(value)
    except ValidationError as error:
        raise RecordError(path, _reason(error)) from None
    return record


def _check_version(path: Path | str, content: Any) -> None:
    """Raise NewerError where the content says itself that it is newer, whether it fits or not."""
    version = content.get("schema_version") if isinstance(content, dict) else None
    if type(version) is int and SCHEMA_VERSION < version < NO_VERSION:
        known = f"this one knows schema {SCHEMA_VERSION} and leaves it alone"
        raise NewerError(path, f"a newer version of this package wrote it, with schema {version}; {known}")


def read_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """A file's content. Raises FileNotFoundError, and RecordError also for one that is larger than `most`."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise RecordError(path, f"it has {size} bytes, and {most} are the most that it could need")
        try:
            return file.read()
        except OSError as error:
            raise RecordError(path, error.strerror or str(error)) from error


def open_file(path: Path) -> BinaryIO:
    """A file to be read. Raises FileNotFoundError, and RecordError also for what is no file.

    A pipe, for one, could hold its reader for ever.
    """
    try:
        # Not to wait for whoever writes into a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from None
    except (OSError, ValueError) as error:
        raise RecordError(path, getattr(error, "strerror", None) or str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RecordError(path, "it is no file")
    return open(descriptor, "rb")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _reason(error: ValidationError) -> str:
    """The first fault in a line: `cells.0.signature: Input should be a valid string, not 3`."""
    fault: ErrorDetails = error.errors(include_url=False)[0]
    if fault["type"] == "json_invalid":
        return f"it is no JSON: {fault['msg'].removeprefix('Invalid JSON: ')}"
    place = ".".join(str(part) for part in fault["loc"])
    found = "" if fault["type"] == "missing" else f", not {_SHORT.repr(fault['input'])}"
    return f"{place}: {fault['msg']}{found}" if place else f"{fault['msg']}{found}"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


def plain_json(data: str | bytes) -> Any:
    """Any JSON value. Raises ValueError, also for one that is nested too deeply or has a number that is too long."""
    return from_json(data)
