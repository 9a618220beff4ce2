"""What a codec is that can be measured: what it is asked to do, and what it must say of itself."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Protocol

from analysis.errors import AnalysisError
from analysis.measured.colours import Conversion, Picture

FOLDER = Path(__file__).parent / "codecs"


class AnchorError(AnalysisError):
    """A codec failed on a picture; the message says what it said."""


@dataclass(frozen=True)
class CodedPicture:
    """data: what would be stored, and what `decoded` (H, W, 3) was decoded from.

    container: how many of its bytes are those of a file format around the codec's own bitstream.
    """

    data: bytes
    container: int
    decoded: Picture


class AnchorCodec(Protocol):
    """A codec with a scale of qualities.

    name: as it is asked for. qualities: those that are measured unless others are asked for, from low to high rate.
    conversion: of colours. optimized_for: "mse", or None where it serves other ends. note: what else is to be known.
    """

    @property
    def name(self) -> str: ...

    @property
    def qualities(self) -> Sequence[float]: ...

    @property
    def conversion(self) -> Conversion: ...

    @property
    def optimized_for(self) -> str | None: ...

    @property
    def note(self) -> str: ...

    def missing(self) -> str | None:
        """Why it cannot be had here, and what would help; None where it can."""

    def version(self) -> str:
        """Of what encodes and decodes. What it gives may differ between versions."""

    def command(self, quality: float) -> str:
        """All that decides what is made of a picture, as text; for a program its command line."""

    def code(self, picture: Picture, quality: float) -> CodedPicture:
        """Encode an RGB picture (H, W, 3) of 8 bits and decode it from the bytes alone. Raises AnchorError."""


def shipped() -> dict[str, Path]:
    """{name: file}, simple codecs first: in the order in which their files rank themselves."""
    return dict(
        sorted(((path.stem, path) for path in FOLDER.glob("[!_]*.py")), key=lambda item: (_rank(item[1]), item))
    )


def shipped_codec(name: str) -> AnchorCodec:
    """The codec of this name, one of `shipped`."""
    found: AnchorCodec = import_module(f"analysis.measured.codecs.{name}").CODEC
    return found


@cache
def _rank(path: Path) -> int:
    """Its `RANK`, by the years of the standards; read, not imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ranks = [
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and any(isinstance(target, ast.Name) and target.id == "RANK" for target in node.targets)
    ]
    return int(ranks[0]) if ranks and isinstance(ranks[0], int) else 9999
