"""What a cut or damaged file still shows: of every tile the scales that are whole, from the coarsest on."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lic_exp.files.alpha import AlphaError, alpha_plane
from lic_exp.files.coding import Form, check_codec, decode_picture, decoded, in_form, tiling_of_file
from lic_exp.files.layout import MOST_PIXELS, CodedString, FileError, LicFile
from lic_exp.files.parsing import parse
from lic_exp.files.pixels import Picture, Planes
from lic_exp.files.tiles import assembled
from lic_exp.models.base import Codec

log = logging.getLogger("lic_exp.files")

GREY = 0.5
"""What stands for a tile of which nothing is whole."""


@dataclass(frozen=True)
class PartOfPicture:
    """picture: what is shown. notes: what is not whole, a sentence each; none where all is."""

    picture: Picture
    notes: tuple[str, ...]


def decode_image_partially(data: bytes, codec: Codec, *, form: Form = "pil", max_pixels: int = MOST_PIXELS) -> Any:
    """`lic_exp.files.coding.decode_image` of what a file still holds whole; a warning says what it does not."""
    given = in_form(form)
    part = decode_partially(parse(data, max_pixels=max_pixels, partial=True), codec)
    for note in part.notes:
        log.warning("%s", note)
    return given(part.picture)


def decode_partially(file: LicFile, codec: Codec) -> PartOfPicture:
    """The picture of a file that was read in part (`lic_exp.files.parsing.parse`).

    Of each tile the first scales are decoded, up to one that is not whole or whose symbols are not those that were
    encoded; the later ones take what their prior foretells. A tile that lacks even its coarsest is grey. Without its
    alpha plane a picture hides nothing.

    Raises FileError: of another codec; of one that does not decode scale by scale, unless the file is whole; and where
    no tile has even its coarsest scale.
    """
    if not codec.decodes_first_strings:
        if file.missing:
            what = f"{file.codec_name} does not decode scale by scale"
            raise FileError(f"{file.missing[0]}; {what}: nothing can be shown")
        return PartOfPicture(decode_picture(file, codec), ())
    check_codec(file, codec)
    shown: list[int] = []
    colour = assembled(tiling_of_file(file), _tiles(file, codec, shown), grey=file.grey, bits=file.bits)
    notes = [*file.missing, *_sentences(shown, file.kinds)]
    alpha = None
    if file.alpha is not None:
        try:
            alpha = alpha_plane(file.alpha, file.height, file.width, file.bits)
        except AlphaError as error:
            notes.append(str(error))
    return PartOfPicture(Picture(colour, alpha, file.icc or b""), tuple(notes))


def whole_scales(file: LicFile) -> list[int]:
    """How many scales of each tile are whole, from the coarsest on."""
    return [
        next((kind for kind, string in enumerate(tile) if string.content is None), len(tile)) for tile in file.strings
    ]


def _tiles(file: LicFile, codec: Codec, shown: list[int]) -> Iterator[Planes]:
    """The planes of every tile; how many scales it shows is added to `shown`.

    Raises FileError where none has its coarsest scale, before anything of a tile's size is made: that may be anything.
    """
    before: list[Planes] = []
    for tile, strings, whole in zip(tiling_of_file(file), file.strings, whole_scales(file), strict=True):
        sides = tile.height, tile.width
        scales, planes = _first_scales(strings, sides, whole, codec, file)
        shown.append(scales)
        if not any(shown):
            before.append(planes)
            continue
        yield from before
        before.clear()
        yield planes
    if before:
        raise FileError("; ".join((*file.missing[:1], "not even the coarsest scale is whole: nothing can be shown")))


def _first_scales(
    strings: Sequence[CodedString], sides: tuple[int, int], whole: int, codec: Codec, file: LicFile
) -> tuple[int, Planes]:
    """How many scales of a tile, of those that are whole, are what was encoded; and its planes, grey where none is."""
    for scales in range(whole, 0, -1):
        try:
            return scales, decoded(strings[:scales], sides, codec, file)
        except (ValueError, RuntimeError, AssertionError):
            continue
    return 0, np.broadcast_to(np.float32(GREY), (3, *sides))


def _sentences(shown: list[int], kinds: int) -> Iterator[str]:
    """Of each tile that lacks scales."""
    for index, scales in enumerate(shown, start=1):
        if scales < kinds:
            of_tile = f"tile {index} of {len(shown)}" if len(shown) > 1 else "the picture"
            yield f"{of_tile} is shown from the first {scales} of {kinds} scales"
