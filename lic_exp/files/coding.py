"""Pictures to the bytes of .lic files and back, by a codec that is there already.

A picture may be Pillow's, an array or a tensor (`lic_exp.files.reading.picture_of`); a codec any of `lic_exp.models`,
on whatever device it is and in whatever mode, which both stay as they are. Where it lacks coding tables, it makes them.
"""

import logging
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch

from lic_exp.files.alpha import alpha_bytes, alpha_plane
from lic_exp.files.identity import CodecIdentity, identity, tables_hash
from lic_exp.files.layout import MOST_PIXELS, CodedString, FileError, LicFile, TileSides
from lic_exp.files.memory import DEFAULT_BYTES, pixels_within
from lic_exp.files.parsing import parse
from lic_exp.files.pixels import Picture, Planes, to_array, to_pil, to_tensor
from lic_exp.files.reading import picture_of
from lic_exp.files.tiles import Tiling, assembled, crops, fewest_pixels, plan
from lic_exp.files.writing import write
from lic_exp.models.base import Codec, Compressed, VariableRateCodec
from lic_exp.models.coding import coding_device, ensure_tables
from lic_exp.models.dtypes import check_weights_there
from lic_exp.models.portable import portable_coding
from lic_exp.models.symbol_record import recording_symbols

log = logging.getLogger("lic_exp.files")

Form = Literal["pil", "array", "tensor"]
FORMS: dict[str, Callable[[Picture], Any]] = {"pil": to_pil, "array": to_array, "tensor": to_tensor}

SMALL_PIXELS = 2**20
"""A picture of so many is coded as a whole, unless less memory is asked for than `DEFAULT_BYTES`."""


def encode_image(
    image: Any,
    codec: Codec,
    *,
    quality: float | None = None,
    portable: bool | None = None,
    memory: int | None = DEFAULT_BYTES,
) -> bytes:
    """The bytes of a .lic file of a picture: Pillow's, an array (H, W, C), or a tensor (C, H, W).

    quality: of a codec of a range of rates, up to its `max_quality`, which None means.
    portable: for decoders on any device; None: where the codec's own options say so (`model.portable`).
    memory: what coding may take, about, beside the picture itself [bytes]: a picture for which that is too little is
        coded in overlapping tiles, none smaller than the codec needs; None: as a whole, whatever it takes.

    Raises ValueError: for what is no picture, a quality or a portable mode that the codec does not have, weights that
    code nothing.
    """
    return encode_picture(picture_of(image), codec, quality=quality, portable=portable, memory=memory)


def decode_image(data: bytes, codec: Codec, *, form: Form = "pil", max_pixels: int = MOST_PIXELS) -> Any:
    """The picture of a .lic file, by the codec that coded it.

    form: "pil", an image of Pillow's; "array", (H, W) or (H, W, C), uint8 or uint16; "tensor", (C, H, W) float32 in
        [0, 1], of the same levels.
    max_pixels: larger pictures are refused before anything is made of them.

    Raises FileError: for bytes that are no whole .lic file, of another codec or other weights, and where what was
    decoded is not what was encoded.
    """
    given = in_form(form)
    return given(decode_picture(parse(data, max_pixels=max_pixels), codec))


def in_form(form: Form) -> Callable[[Picture], Any]:
    """What makes of a picture what Pillow, NumPy or torch has. Raises ValueError for another form.

    It raises ValueError itself for a picture that has no such form.
    """
    if form not in FORMS:
        raise ValueError(f"form={form!r}: should be one of {', '.join(FORMS)}")
    return FORMS[form]


def encode_picture(
    picture: Picture,
    codec: Codec,
    *,
    quality: float | None = None,
    portable: bool | None = None,
    memory: int | None = DEFAULT_BYTES,
) -> bytes:
    """`encode_image` of a picture that is one of ours already."""
    height, width = picture.height, picture.width
    sides = codec.padded_sides(height, width)
    tiling = tiling_of(height, width, codec, memory)
    whole = tiling.count == 1
    codes = rate_of(codec, quality)
    delta = codec.portable_mode().margin if (codec.codes_portably if portable is None else portable) else None
    with nullcontext() if delta is None else portable_coding():
        strings = [_coded(tile, codec, codes) for tile in crops(picture, tiling)]
    of = identity(codec)
    return write(
        LicFile(
            codec_name=of.name,
            signature=of.signature,
            tables=tables_hash(codec),
            height=height,
            width=width,
            padding=(sides[0] - height, sides[1] - width) if whole else (0, 0),
            quality=codes.get("quality"),
            strings=strings,
            # Bytes of a portable file are the same wherever they are made.
            made_on=made_on(codec) if delta is None else "",
            delta=delta,
            tile=None if whole else TileSides(tiling.tile_height, tiling.tile_width, tiling.overlap),
            grey=picture.grey,
            bits=picture.bits,
            icc=picture.icc or None,
            alpha=None if picture.alpha is None else alpha_bytes(picture.alpha),
        )
    )


def decode_picture(file: LicFile, codec: Codec) -> Picture:
    """`decode_image` of a file that is parsed already."""
    check_codec(file, codec)
    colour = assembled(tiling_of_file(file), decoded_tiles(file, codec), grey=file.grey, bits=file.bits)
    try:
        alpha = None if file.alpha is None else alpha_plane(file.alpha, file.height, file.width, file.bits)
    except ValueError as error:
        raise FileError(str(error)) from error
    return Picture(colour, alpha, file.icc or b"")


def decoded_tiles(file: LicFile, codec: Codec) -> Iterator[Planes]:
    """What the codec makes of the strings of every tile: planes (3, h, w), float32 in [0, 1], not rounded.

    Raises FileError.
    """
    for index, (tile, strings) in enumerate(zip(tiling_of_file(file), file.strings, strict=True), start=1):
        try:
            yield decoded(strings, (tile.height, tile.width), codec, file)
        except (ValueError, RuntimeError, AssertionError) as error:
            of_tile = f"tile {index} of {len(file.strings)}: " if file.tile else ""
            raise FileError(f"{of_tile}it cannot be decoded{_elsewhere(file, codec)}: {error}") from error


def check_codec(file: LicFile, codec: Codec) -> None:
    """Raise FileError where a file is of another codec, or says of itself what this codec does not write.

    Says where it was made elsewhere, so that decoding may end in an error. Raises ValueError where the codec's weights
    have no values.
    """
    check_weights_there(codec)
    own, of = identity(codec), CodecIdentity(file.codec_name, file.signature)
    if own.signature != of.signature:
        kind = "other weights or options of that model" if own.name == of.name else "another model"
        raise FileError(f"it was coded by {of}, and this is {own}, {kind}: decode it by the one that coded it")
    padded = codec.padded_sides(file.height, file.width)
    expected = (0, 0) if file.tile else (padded[0] - file.height, padded[1] - file.width)
    if file.padding != expected:
        raise FileError(f"it says that {file.padding} rows and columns were added, but {own} adds {expected}")
    if codec.string_kinds not in (None, file.kinds):
        raise FileError(f"a picture has {codec.string_kinds} strings of {own}, but it says {file.kinds}")
    if isinstance(codec, VariableRateCodec) != (file.quality is not None):
        has = "a range of rates" if file.quality is None else "one rate"
        raise FileError(f"{own} has {has}, but the file names {'no' if file.quality is None else 'a'} quality")
    if file.quality is not None and isinstance(codec, VariableRateCodec) and file.quality > codec.max_quality:
        raise FileError(f"its quality is {file.quality:g}, but {own} has none above {codec.max_quality:g}")
    if file.delta is not None:
        try:
            codec.portable_mode()
        except ValueError as error:
            raise FileError(f"it was coded in portable mode, but {error}") from error
    ensure_tables(codec)
    if file.tables != tables_hash(codec):
        raise FileError(
            f"it was coded with other tables of {own}{_elsewhere(file, codec)}: this machine does not make the same"
        )
    if file.delta is None and (elsewhere := _elsewhere(file, codec)):
        log.warning("a file%s: what differs in a last bit there can make decoding end in an error", elsewhere)


def made_on(codec: Codec) -> str:
    """What the last bits of what a codec computes hang on: device, torch, and what a CPU can do."""
    device = coding_device(codec)
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"


def _elsewhere(file: LicFile, codec: Codec) -> str:
    """For messages: that a file was made on another device, and on which, where it says so."""
    here, there = made_on(codec), file.made_on
    if there == here or (file.delta is not None and not there):
        return ""
    return f", made on {there or 'an unknown machine'} and not on {here}"


def tiling_of_file(file: LicFile) -> Tiling:
    """The tiles that a file's picture was coded in."""
    tile = file.tile or TileSides(file.height, file.width, 0)
    return Tiling(file.height, file.width, tile.height, tile.width, tile.overlap)


def tiling_of(height: int, width: int, codec: Codec, memory: int | None = DEFAULT_BYTES) -> Tiling:
    """The tiles that a picture of these sides is coded in, as `encode_image` says of `memory`."""
    sides, factor = codec.padded_sides(height, width), codec.facts.downsampling_factor
    if memory is None or (memory >= DEFAULT_BYTES and sides[0] * sides[1] <= SMALL_PIXELS):
        return Tiling(height, width, height, width, 0)
    most = max(pixels_within(codec, memory), fewest_pixels(factor))
    return plan(height, width, multiple=factor, most_pixels=most)


def rate_of(codec: Codec, quality: float | None) -> dict[str, float]:
    """What `compress` is told of the rate. Raises ValueError for a quality where the codec has one rate."""
    if isinstance(codec, VariableRateCodec):
        return {"quality": codec.max_quality if quality is None else float(quality)}
    if quality is not None:
        raise ValueError(f"quality={quality:g}: {type(codec).__name__} has one rate, so there is no quality to choose")
    return {}


def _coded(planes: Planes, codec: Codec, rate: dict[str, float]) -> list[CodedString]:
    x = codec.pad(torch.from_numpy(planes)[None])
    sides = codec.padded_sides(*planes.shape[1:])
    with recording_symbols() as record:
        compressed: Compressed = codec.compress(x, **rate)
    shape = codec.coded_shape(*sides)
    if tuple(x.shape[2:]) != sides or tuple(compressed.shape) != shape:
        raise ValueError(
            f"{type(codec).__name__} pads to {tuple(x.shape[2:])} and codes in {tuple(compressed.shape)}, but says "
            f"{sides} and {shape}: padded_sides and coded_shape must say what pad and compress do"
        )
    strings = [kind[0] for kind in compressed.strings]
    checks = _checks(record.crcs, len(strings))
    lists = [b""] * len(strings) if compressed.near_lines is None else [kind[0] for kind in compressed.near_lines]
    return [CodedString(*parts) for parts in zip(strings, checks, lists, strict=True)]


def decoded(strings: Sequence[CodedString], sides: tuple[int, int], codec: Codec, file: LicFile) -> Planes:
    """What the codec makes of the strings of a picture, or a tile, of these sides; of the first of them where it can.

    Raises FileError, and what the codec raises.
    """
    contents = [[string.content or b""] for string in strings]
    shape = codec.coded_shape(*codec.padded_sides(*sides))
    expected = [string.symbols_crc for string in strings]
    # The first wrong string ends it, before the next is read, where the codec records each.
    with recording_symbols(expected if codec.string_kinds else None) as record:
        compressed = codec.packed(contents, shape, quality=file.quality)
        if file.delta is not None:
            compressed = replace(compressed, near_lines=[[string.near_lines] for string in strings])
        x_hat = codec.decompress(compressed)
    if _checks(record.crcs, len(strings)) != expected:
        raise FileError("its symbols are not those that were encoded")
    planes: Planes = codec.crop(x_hat, *sides)[0].float().cpu().contiguous().numpy()
    if not np.isfinite(planes).all():
        raise FileError("the codec makes samples of it that are not finite: have its weights diverged?")
    return planes


def _checks(crcs: Sequence[int], count: int) -> list[int]:
    """A checksum for each of so many strings; of a codec that records its symbols otherwise one for all of them."""
    if len(crcs) == count:
        return list(crcs)
    return [zlib.crc32(struct.pack(f"<{len(crcs)}I", *crcs)), *[0] * (count - 1)]
