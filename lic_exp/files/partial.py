"""What a cut or damaged file still shows: of every tile the scales that are whole, from the coarsest on."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lic_exp.files.alpha import AlphaError, alpha_plane
from lic_exp.files.coding import Form, check_codec, decode_picture, decoded, in_form, tiling_of_file
from lic_exp.files.layout import MOST_PIXELS, FileError, LicFile
from lic_exp.files.parsing import parse
from lic_exp.files.pixels import Picture, Planes
from lic_exp.files.tiles import assembled
from lic_exp.models.base import Codec

log = logging.getLogger("lic_exp.files")


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
    encoded; the later ones take what their prior foretells. Without its alpha plane a picture hides nothing.

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
    if not any(shown):
        raise FileError("; ".join((*file.missing[:1], "not even the coarsest scale is whole: nothing can be shown")))
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
    """The planes of every tile; how many scales it shows is added to `shown`."""
    for tile, strings, whole in zip(tiling_of_file(file), file.strings, whole_scales(file), strict=True):
        for scales in range(whole, -1, -1):
            try:
                planes = decoded(strings[:scales], (tile.height, tile.width), codec, file)
            except (ValueError, RuntimeError, AssertionError):
                if not scales:
                    raise
                continue
            shown.append(scales)
            yield planes
            break


def _sentences(shown: list[int], kinds: int) -> Iterator[str]:
    """Of each tile that lacks scales."""
    for index, scales in enumerate(shown, start=1):
        if scales < kinds:
            of_tile = f"tile {index} of {len(shown)}" if len(shown) > 1 else "the picture"
            yield f"{of_tile} is shown from the first {scales} of {kinds} scales"
