"""Which pretrained codecs there are: for each a card, NAME.yaml beside this file, and the weights that it names.

Imports no torch. The weights are compared with their card whenever they are asked for by name: what a file is coded by
must not depend on how well an installation went.
"""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field, with_config
from typing_extensions import TypedDict

from lic_exp.places import PACKAGE
from lic_exp.records import RECORD, Amount, Count, FileName, RecordError, checked_value
from lic_exp.yaml_files import read_yaml

log = logging.getLogger("lic_exp.pretrained")

FOLDER = PACKAGE / "pretrained"

DEFAULT = "box"
"""The codec of whoever names none."""

ANEW = "install lic_exp anew"

SHOWN_DIGITS = 12

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a file, in hexadecimal digits."""


class PretrainedError(ValueError):
    """A pretrained codec whose card or weights are not as they were shipped; says what was found, and what to do."""


@with_config(RECORD)
class TrainingPhotos(TypedDict):
    """Photos that a codec was trained on. source: where they are from. authors: who made them, or where it is said."""

    name: str
    photos: Count
    licence: str
    source: str
    authors: str


@with_config(RECORD)
class MeasuredRate(TypedDict):
    """Means over Kodak's 24 images at a quality: bits per pixel of whole files, RGB PSNR and MS-SSIM [dB]."""

    quality: Amount
    bpp_file: Amount
    psnr: Amount
    ms_ssim_db: Amount


@with_config(RECORD)
class Card(TypedDict):
    """What is known of a pretrained codec.

    summary: in a line. model, options: the model option that it is of, and what of it was set otherwise. file, sha256:
    of the weights. codec_signature: by which .lic files name the codec, `lic_exp.files.identity`, in hexadecimal
    digits. licence: of the weights. data: what they were trained on. commands: that made them. run_signature,
    code_hash: of the training. figures: by rate. bd_rate: {anchor: change of rate at equal RGB PSNR [%]}. not_for: what
    it should not be used for.
    """

    name: FileName
    summary: str
    model: str
    options: NotRequired[dict[str, Any]]
    file: FileName
    sha256: Digest
    codec_signature: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    parameters: Count
    kmacs_per_pixel: Amount
    licence: str
    data: list[TrainingPhotos]
    commands: list[str]
    run_signature: str
    code_hash: str
    figures: list[MeasuredRate]
    bd_rate: dict[str, Amount]
    not_for: str


def names() -> list[str]:
    """The names of all pretrained codecs."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def card(name: str) -> Card:
    """What is known of the codec of this name, which is one of `names`. Raises PretrainedError for a damaged card."""
    path = FOLDER / f"{name}.yaml"
    try:
        return checked_value(path, read_yaml(path), Card)
    except (RecordError, FileNotFoundError) as error:
        raise PretrainedError(f"the card of {name}: {error}; {ANEW}") from error


def cards() -> Iterator[Card]:
    """Those of all codecs; a damaged one is logged and left out."""
    for name in names():
        try:
            yield card(name)
        except PretrainedError as error:
            log.warning("%s", error)


def weights_of(name: str) -> Path:
    """The file of a codec's weights, which are those that its card names. Raises PretrainedError where they are not."""
    known = card(name)
    path = FOLDER / known["file"]
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PretrainedError(f"the weights of {name}, {path}: {error.strerror or error}; {ANEW}") from error
    if found != known["sha256"]:
        differ = f"have SHA-256 {found[:SHOWN_DIGITS]}…, and should have {known['sha256'][:SHOWN_DIGITS]}…"
        raise PretrainedError(f"the weights of {name}, {path}, {differ}: they were changed or cut; {ANEW}")
    return path


def names_by_signature() -> dict[str, str]:
    """{how .lic files name a pretrained codec, in hexadecimal digits: its name here}."""
    return {one["codec_signature"]: one["name"] for one in cards()}
