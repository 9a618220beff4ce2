"""Texts of the platform's own keys that are more than text."""

import os
import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError


def device_name(value: str) -> str:
    """A device as torch names it, or auto."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise PydanticCustomError("device", "should be auto, cpu, cuda, or cuda:1 and the like")
    return value


DeviceName = Annotated[str, AfterValidator(device_name)]

HomePath = Annotated[str, AfterValidator(os.path.expanduser)]
"""A path, in which ~ at the beginning is the home folder."""
