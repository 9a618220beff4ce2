"""Codec weights from a file."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lic_exp.models.base import Codec


def load_weights(codec: Codec, path: str | Path) -> None:
    """Load a codec's weights in place, executing none of the file's content.

    Accepts a plain state dict or one of our checkpoints. Raises ValueError naming the keys that do not fit.
    """
    file = Path(path).expanduser()
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{file} is no checkpoint that can be read safely: {error}") from error
    state: dict[str, Tensor] = content.get("codec", content) if isinstance(content, dict) else {}
    try:
        codec.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{file} does not fit {type(codec).__name__}: {error}") from error
