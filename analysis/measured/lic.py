"""Codecs of this platform, by their .lic files: encoded by one process, and decoded by another from the file alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path

import numpy as np

from analysis.measured.codec import AnchorError, CodedPicture
from analysis.measured.coders import CODERS
from analysis.measured.colours import Conversion, Picture
from lic_exp.data.fingerprints import file_sha256
from lic_exp.files.frames import Frame
from lic_exp.files.layout import VERSION
from lic_exp.pretrained.catalogue import PretrainedError, weights_of

SHOWN_DIGITS = 12


@dataclass(frozen=True)
class LicCodec:
    """A codec of a range of rates, as `python -m lic_exp compress` has it by these arguments.

    file: of its weights; None: the pretrained codec's of its name. The container of a .lic file is all but its strings,
    which are what rates of runs count.
    """

    name: str
    qualities: Sequence[float]
    chosen: Sequence[str]
    file: Path | None = None
    optimized_for: str | None = "mse"
    note: str = ""

    @property
    def conversion(self) -> Conversion:
        return Conversion("none", None)

    @property
    def arguments(self) -> list[str]:
        """On another device some samples of a picture may be other ones."""
        return [*self.chosen, "--device", "cpu"]

    def missing(self) -> str | None:
        try:
            self._digest()
        except (PretrainedError, OSError) as error:
            return str(error)
        return None

    def version(self) -> str:
        return f"weights {self._digest()[:SHOWN_DIGITS]}, .lic {VERSION}, torch {package_version('torch')}"

    def command(self, quality: float) -> str:
        return " ".join(["lic_exp compress", *self.arguments, "--quality", f"{quality:g}"])

    def code(self, picture: Picture, quality: float) -> CodedPicture:
        height, width, _ = picture.shape
        words = {"do": "encode", "height": height, "width": width, "quality": quality}
        try:
            with CODERS.one("encode", self.arguments) as encoder:
                told, data = encoder.ask(Frame(words, np.ascontiguousarray(picture).tobytes()))
            with CODERS.one("decode", self.arguments) as decoder:
                shown = decoder.ask(Frame({"do": "decode"}, data))
        except AnchorError as error:
            raise AnchorError(f"{self.command(quality)}: {error}") from error
        decoded = np.frombuffer(shown.body, np.uint8).reshape(shown.words["height"], shown.words["width"], 3)
        return CodedPicture(data, len(data) - told["string_bytes"], decoded)

    def _digest(self) -> str:
        """Of the weights. Raises PretrainedError, or OSError for a file that cannot be read."""
        return file_sha256(self.file or weights_of(self.name))
