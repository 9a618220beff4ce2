"""A codec of the user's own, such as VTM: two command lines in a YAML file.

name: vtm-22.0
input: yuv444p10le
qualities: [47, 42, 37, 32, 27, 22]
encode: EncoderAppStatic -c encoder_intra_vtm.cfg -i {input} -b {stream} -o /dev/null -q {quality} -wdt {width}
  -hgt {height} -f 1 -fr 1 --InputBitDepth=10 --InputChromaFormat=444 --ChromaFormatIDC=444
decode: DecoderAppStatic -b {stream} -o {output} -d 10
"""

import io
import math
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NotRequired

import numpy as np
from pydantic import Field, with_config
from typing_extensions import TypedDict

from analysis.errors import AnalysisError
from analysis.measured.codec import AnchorError, CodedPicture
from analysis.measured.colours import Conversion, Picture, to_picture, to_planes
from lic_exp.data.fingerprints import file_sha256
from lic_exp.records import RECORD, RecordError, checked_value
from lic_exp.yaml_files import read_yaml

SUFFIXES = (".yaml", ".yml")

DEPTHS = {"yuv444p": 8, "yuv444p10le": 10}
"""Raw inputs: Y, Cb, Cr one after another, full range; and the bits of each sample."""

NEEDED = {"encode": ("{input}", "{stream}", "{quality}"), "decode": ("{stream}", "{output}")}


@with_config(RECORD | {"extra": "forbid"})
class OwnCodecFile(TypedDict):
    """Keys of such a file.

    encode, decode: command lines, run without a shell, in which {input}, {stream}, {output}, {quality}, {width} and
    {height} are put in. input: of the encoder, and what the decoder writes. container: bytes of each stream that are
    a file format's. version: of the programs, for the record.
    """

    name: Annotated[str, Field(pattern=r"^[\w.+-]{1,60}$")]
    encode: str
    decode: str
    qualities: Annotated[list[float], Field(min_length=1)]
    input: NotRequired[Literal["png", "yuv444p", "yuv444p10le"]]
    matrix: NotRequired[Literal["BT.601", "BT.709"]]
    version: NotRequired[str]
    container: NotRequired[Annotated[int, Field(ge=0)]]
    optimized_for: NotRequired[Literal["mse", "ms-ssim"]]
    note: NotRequired[str]


@dataclass(frozen=True)
class OwnCodec:
    """What such a file describes. Files and programs that its commands name count as part of them, by content."""

    file: Path
    given: OwnCodecFile

    @property
    def name(self) -> str:
        return self.given["name"]

    @property
    def qualities(self) -> Sequence[float]:
        return self.given["qualities"]

    @property
    def conversion(self) -> Conversion:
        bits = DEPTHS.get(self._input)
        if bits is None:
            return Conversion("its own", None, chroma="its own")
        return Conversion(self.given.get("matrix", "BT.709"), bits, by="us")

    @property
    def optimized_for(self) -> str | None:
        return self.given.get("optimized_for")

    @property
    def note(self) -> str:
        return self.given.get("note", "")

    @property
    def _input(self) -> str:
        return self.given.get("input", "png")

    def missing(self) -> str | None:
        for key in NEEDED:
            program = shlex.split(self.given[key])[0]  # type: ignore[literal-required]
            if shutil.which(program) is None:
                return f"{self.file}: {key}: there is no program {program}"
        return None

    def version(self) -> str:
        contents = {}
        for word in [word for key in NEEDED for word in shlex.split(self.given[key])]:  # type: ignore[literal-required]
            for part in dict.fromkeys([word, *re.split("[=,:]", word)]):  # also of --config=FILE
                path = shutil.which(part) or part
                if part and Path(path).is_file():
                    contents[part] = file_sha256(path)[:12]
        told = ", ".join(f"{Path(part).name} {digest}" for part, digest in contents.items())
        return f"{self.given.get('version', 'version not stated')} ({told})"

    def command(self, quality: float) -> str:
        words = self.given["encode"].replace("{quality}", f"{quality:g}"), self.given["decode"]
        lines = "; ".join(" ".join(word.split()) for word in words)
        container = self.given.get("container", 0)
        return f"{self._input}, {self.conversion.matrix}{f', container {container}' if container else ''}: {lines}"

    def code(self, picture: Picture, quality: float) -> CodedPicture:
        height, width = picture.shape[:2]
        with tempfile.TemporaryDirectory(prefix="lic_exp_") as folder:
            suffix = ".png" if self._input == "png" else ".yuv"
            places = {"input": f"{folder}/input{suffix}", "stream": f"{folder}/stream.bin"}
            places["output"] = f"{folder}/output{suffix}"
            self._write(Path(places["input"]), picture)
            values = {**places, "quality": f"{quality:g}", "width": str(width), "height": str(height)}
            _run(self.given["encode"], values)
            data = _made(Path(places["stream"]), self.given["encode"])
            _run(self.given["decode"], values)
            decoded = self._read(_made(Path(places["output"]), self.given["decode"]), height, width)
        return CodedPicture(data, min(self.given.get("container", 0), len(data)), decoded)

    def _write(self, path: Path, picture: Picture) -> None:
        if self._input == "png":
            from PIL import Image

            Image.fromarray(picture).save(path, compress_level=1)
        else:
            planes = to_planes(picture, self.conversion)
            path.write_bytes(planes.astype("<u2" if self._input.endswith("le") else np.uint8).tobytes())

    def _read(self, content: bytes, height: int, width: int) -> Picture:
        if self._input == "png":
            from PIL import Image

            try:
                with Image.open(io.BytesIO(content)) as image:
                    decoded = np.asarray(image.convert("RGB"))
            except OSError as error:
                raise AnchorError(f"{self.given['decode']}: what it wrote is no picture: {error}") from error
            if decoded.shape != (height, width, 3):
                raise AnchorError(f"{self.given['decode']}: it wrote {decoded.shape[1]} x {decoded.shape[0]} pixels")
            return decoded
        samples = np.frombuffer(content, "<u2" if self._input.endswith("le") else np.uint8)
        if samples.size != 3 * height * width:
            raise AnchorError(f"{self.given['decode']}: it wrote {samples.size} samples, not {3 * height * width}")
        return to_picture(samples.reshape(3, height, width), self.conversion)


def own_codec(path: Path) -> OwnCodec:
    """The codec that a file describes. Raises AnalysisError that names the file and what is wrong in it."""
    try:
        given: OwnCodecFile = checked_value(path, read_yaml(path), OwnCodecFile)
        for key, needed in NEEDED.items():
            words = shlex.split(given[key])  # type: ignore[literal-required]
            if absent := [mark for mark in needed if not any(mark in word for word in words)]:
                raise AnalysisError(f"{path}: {key} lacks {' and '.join(absent)}")
        if len(set(given["qualities"])) < len(given["qualities"]):
            raise AnalysisError(f"{path}: qualities: one stands there twice")
        if not all(map(math.isfinite, given["qualities"])):
            raise AnalysisError(f"{path}: qualities: one is no number")
    except FileNotFoundError as error:
        raise AnalysisError(f"{path}: there is no such file") from error
    except RecordError as error:
        raise AnalysisError(str(error)) from error
    except ValueError as error:
        if isinstance(error, AnalysisError):
            raise
        raise AnalysisError(f"{path}: a command line that no shell would take: {error}") from error
    return OwnCodec(path, given)


def _run(command: str, values: Mapping[str, str]) -> None:
    words = shlex.split(command)
    for key, value in values.items():
        words = [word.replace(f"{{{key}}}", value) for word in words]
    try:
        done = subprocess.run(words, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    except OSError as error:
        raise AnchorError(f"{words[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise AnchorError(f"{shlex.join(words)}: exit code {done.returncode}{': ' + said[-1] if said else ''}")


def _made(path: Path, command: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AnchorError(f"{command}: it ended well, but wrote no {path.name}") from error
