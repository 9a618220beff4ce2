"""Codecs of video that ffmpeg has, for one picture: planes of 4:4:4 in, the bare bitstream out, planes back."""

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from analysis.measured.codec import AnchorError, CodedPicture
from analysis.measured.colours import Conversion, Picture, Planes, to_picture, to_planes
from lic_exp.data.fingerprints import file_sha256

LEAST_SIDE, MULTIPLE_OF = 64, 8
"""Of planes that encoders get: smaller ones are continued by their last rows and columns, which are cut off again."""

DECODED = ("-threads", "1")
"""One thread: with several, ffmpeg's decoder of VVC gives other pixels now and then."""

TEN_BITS = Conversion("BT.709", 10, by="us")

GET_ONE = "pip install 'lic-exp[anchors]' brings one (imageio-ffmpeg)"


def as_three_planes(planes: Planes) -> tuple[bytes, str, int, int]:
    """Y, Cb and Cr (3, H, W) of 10 bits as ffmpeg takes raw pictures: bytes, pixel format, width, height."""
    return planes.astype("<u2").tobytes(), "yuv444p10le", planes.shape[2], planes.shape[1]


def from_three_planes(raw: bytes, height: int, width: int) -> Planes:
    return np.frombuffer(raw, "<u2", 3 * height * width).reshape(3, height, width)


@dataclass(frozen=True)
class FFmpegCodec:
    """Encoded by `ffmpeg -c:v ENCODER OPTIONS -f FORMAT`, decoded by ffmpeg's own decoder of that format.

    codec: what ffmpeg calls the standard. options: of a quality. pack, unpack: how planes become ffmpeg's raw
    pictures, and back.
    """

    name: str
    codec: str
    encoder: str
    format: str
    qualities: Sequence[float]
    options: Callable[[float], Sequence[str]]
    pack: Callable[[Planes], tuple[bytes, str, int, int]] = as_three_planes
    unpack: Callable[[bytes, int, int], Planes] = from_three_planes
    optimized_for: str | None = "mse"
    note: str = ""

    @property
    def conversion(self) -> Conversion:
        return TEN_BITS

    def missing(self) -> str | None:
        if _program() is None:
            return f"there is no ffmpeg: {GET_ONE}"
        line = next((line for line in _listed("-codecs").splitlines() if f" {self.codec} " in line), "")
        if not line.lstrip().startswith("D") or not re.search(rf"\b{re.escape(self.encoder)}\b", line):
            return f"{_program()} cannot encode by {self.encoder} and decode again: {GET_ONE}"
        return None

    def version(self) -> str:
        words = _listed("-version").split()
        program = _program()
        build = f" ({file_sha256(program)[:12]})" if program else ""
        return f"{self.encoder} in ffmpeg {words[2] if len(words) > 2 else 'of unknown version'}{build}"

    def command(self, quality: float) -> str:
        return " ".join(["ffmpeg", *self._encode(quality, "PIXELS", "WIDTHxHEIGHT")])

    def code(self, picture: Picture, quality: float) -> CodedPicture:
        height, width = picture.shape[:2]
        padded = np.pad(picture, [_padding(height), _padding(width), (0, 0)], mode="edge")
        raw, pixels, across, down = self.pack(to_planes(padded, self.conversion))
        data = _run(self._encode(quality, pixels, f"{across}x{down}"), raw)
        back = _run([*DECODED, "-f", self.format, "-i", "-", "-f", "rawvideo", "-pix_fmt", pixels, "-"], data)
        if len(back) != len(raw):
            raise AnchorError(f"{self.command(quality)}: {len(back)} bytes of pixels came back of {len(raw)}")
        planes = self.unpack(back, *padded.shape[:2])
        return CodedPicture(data, 0, to_picture(planes[:, :height, :width], self.conversion))

    def _encode(self, quality: float, pixels: str, size: str) -> list[str]:
        taken = ["-f", "rawvideo", "-pix_fmt", pixels, "-s", size, "-i", "-", "-frames:v", "1", "-threads", "1"]
        return [*taken, "-c:v", self.encoder, *self.options(quality), "-f", self.format, "-"]


def _padding(side: int) -> tuple[int, int]:
    return 0, max(LEAST_SIDE, -(-side // MULTIPLE_OF) * MULTIPLE_OF) - side


@cache
def _program() -> str | None:
    """The ffmpeg of imageio-ffmpeg (which IMAGEIO_FFMPEG_EXE may name), else one that is installed."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return shutil.which("ffmpeg")


@cache
def _listed(what: str) -> str:
    return _run([what], b"").decode(errors="replace")


def _run(arguments: Sequence[str], given: bytes) -> bytes:
    """What ffmpeg writes. Raises AnchorError with its last words."""
    program = _program()
    if program is None:
        raise AnchorError(f"there is no ffmpeg: {GET_ONE}")
    try:
        whole = [program, "-hide_banner", "-v", "error", *arguments]
        done = subprocess.run(whole, check=False, input=given, capture_output=True)
    except OSError as error:
        raise AnchorError(f"{program} cannot be run: {error.strerror}") from error
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise AnchorError(f"ffmpeg {' '.join(arguments)}: {words[-1]}")
    return done.stdout
