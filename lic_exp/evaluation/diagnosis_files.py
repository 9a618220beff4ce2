"""What a diagnosis has found, and its file. Imports no torch, so that `analysis` can read it."""

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Required

from pydantic import with_config
from typing_extensions import TypedDict

from lic_exp.atomic import write_atomically
from lic_exp.json_text import json_text
from lic_exp.records import RECORD, SCHEMA_VERSION, Count, RecordError, checked, read_file
from lic_exp.tracking.run_folder import RunFolder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

AFTER_STEP = re.compile(r"step_(\d+)\.npz")

BANDS = 16
"""Equally wide, of rho / sqrt 2."""

ARRAYS = ("products", "bpp", "mse", "foretold", "shown", "amplitudes")


@with_config(RECORD)
class DiagnosisAbout(TypedDict, total=False):
    """What the arrays of a diagnosis are of.

    step: steps done; of other weights than a training's at that step null. images: name, height, width and digest
    (`lic_exp.image_identity`) of each. qualities, lmbdas: of the rates, empty of a codec with one. sent: what is sent,
    in order, the scales last. edges: of the bands, of rho / sqrt 2. unforetold: why something is not foretold, "" where
    all is. shown: the image and the place of the rate that the pictures are of.
    """

    schema_version: Count
    step: Required[Count | None]
    images: Required[list[tuple[str, Count, Count, str]]]
    qualities: Required[list[float]]
    lmbdas: Required[list[float]]
    sent: Required[list[str]]
    edges: Required[list[float]]
    unforetold: Required[str]
    shown: Required[tuple[str, Count]]
    data: str | None
    code: str | None


@dataclass(frozen=True)
class Diagnosis:
    """Partial decodes of a codec of L scales, for Q rates (one where it has one) and N images.

    The signals of an image are X, and the contributions c_0 (the decode without any scale, less the image's mean), c_1,
    ..., c_L: what each scale adds to the decode of those before. c_0 + ... + c_L = x_hat less that mean.

    products: (Q, N, 2, BANDS, 2 + L, 2 + L), inner products of every two signals in every band, of luma and of chroma
        (`lic_exp.ops.bands.band_products`); from them follow shares, overlaps and the spectra of errors.
    bpp: (Q, N, len(sent)), estimated bits per pixel.
    mse: (Q, N, 1 + L), of the decodes from 0 to L scales, clamped to [0, 1], RGB.
    foretold: (Q, L - 1), how much of latent l the next finer one foretells (`lic_exp.ops.foretold`); NaN: not known.
    shown: (2 + L, 3, h, w) of 8 bits, the signals of one image, made smaller; the contributions are (shown - 128) / 127
        times their `amplitudes` (2 + L,), X is shown / 255.
    """

    about: DiagnosisAbout
    products: "Numbers"
    bpp: "Numbers"
    mse: "Numbers"
    foretold: "Numbers"
    shown: "NDArray[np.uint8]"
    amplitudes: "Numbers"

    @property
    def scales(self) -> int:
        """L"""
        return int(self.mse.shape[2]) - 1

    def write(self, path: Path) -> None:
        """Write it to an .npz file, whole or not at all."""
        import numpy as np

        file = io.BytesIO()
        arrays = {name: getattr(self, name) for name in ARRAYS}
        about = {"schema_version": SCHEMA_VERSION, **self.about}
        np.savez_compressed(file, about=np.array(json_text(about)), **arrays)
        write_atomically(path, file.getvalue())


def read_diagnosis(path: Path) -> Diagnosis:
    """What a file holds. Raises FileNotFoundError, and RecordError where it is damaged, or something else."""
    import numpy as np

    data = read_file(path)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            about = checked(path, str(file["about"]).encode(), DiagnosisAbout)
            arrays = {name: np.asarray(file[name]) for name in ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(path, f"it is no diagnosis: {str(error) or type(error).__name__}") from error
    found = Diagnosis(about, **arrays)
    if wrong := _misshapen(found):
        raise RecordError(path, f"it is no diagnosis: {wrong}")
    return found


def diagnoses_of(run: RunFolder) -> Iterator[tuple[int, Path]]:
    """(steps done, file) of a training's diagnoses, in order of steps."""
    found = ((AFTER_STEP.fullmatch(path.name), path) for path in run.diagnosis.glob("step_*.npz"))
    yield from sorted((int(match[1]), path) for match, path in found if match)


def file_after(step: int) -> str:
    """The name of the file of the weights after so many steps."""
    return f"step_{step:08d}.npz"


def _misshapen(found: Diagnosis) -> str:
    """Which array has another shape than the others and `about` ask for; "" where none has."""
    about, dims = found.about, found.mse.shape
    if len(dims) != 3 or dims[2] < 2:
        return f"mse is {dims}"
    rates, images, decodes = max(len(about["qualities"]), 1), len(about["images"]), dims[2]
    shapes = {
        "mse": (rates, images, decodes),
        "products": (rates, images, 2, len(about["edges"]) - 1, 1 + decodes, 1 + decodes),
        "bpp": (rates, images, len(about["sent"])),
        "foretold": (rates, decodes - 2),
        "amplitudes": (1 + decodes,),
        "shown": (1 + decodes, 3, *found.shown.shape[2:4]),
    }
    for name, shape in shapes.items():
        array = getattr(found, name)
        if array.shape != shape or array.dtype.kind != ("u" if name == "shown" else "f"):
            return f"{name} is {array.dtype} {array.shape}, not {shape}"
    return ""
