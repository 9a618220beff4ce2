"""Texts of the platform's own keys that are more than text."""

import os
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError


def device_name(value: str) -> str:
    """A device as torch names it, or auto."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise PydanticCustomError("device", "should be auto, cpu, cuda, or cuda:1 and the like")
    return value


DeviceName = Annotated[str, AfterValidator(device_name)]


def compile_mode(value: Any) -> Any:
    """How training is compiled, in its normal form: off and full are what was false and true, and are signed so."""
    if isinstance(value, bool) or value in ("blocks", "graphs", "auto"):
        return value
    if value in ("off", "full"):
        return value == "full"
    raise PydanticCustomError("compile", "should be off, blocks, full, graphs or auto (false is off, true is full)")


CompileMode = Annotated[bool | str, BeforeValidator(compile_mode)]


def channels_last(value: Any) -> Any:
    """Whether channels come last in memory."""
    if isinstance(value, bool) or value == "auto":
        return value
    raise PydanticCustomError("channels_last", "should be true, false or auto")


ChannelsLast = Annotated[bool | str, BeforeValidator(channels_last)]

HomePath = Annotated[str, AfterValidator(os.path.expanduser)]
"""A path, in which ~ at the beginning is the home folder."""
