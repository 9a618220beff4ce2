"""Pictures between what people have and what codecs take. Imports neither Pillow nor torch before they are asked for.

A codec knows planes of red, green and blue in [0, 1]. What a picture is beside that stands in `Picture`, and is put
back behind the decoder: whether it is grey, how wide its samples are, its alpha, its colour profile.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

Samples = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
Planes = NDArray[np.float32]

WITH_ALPHA = {1: False, 2: True, 3: False, 4: True}
"""{channels: whether the last of them is alpha}"""

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""{channels: Pillow's mode for 8 bits}"""


class PixelsError(ValueError):
    """A picture that cannot be taken, or not be given in the form that was asked for; the message says why."""


@dataclass(frozen=True)
class Picture:
    """What is kept of a picture.

    colour: (H, W, 3), or (H, W) where it is grey: uint8, uint16, or float32 in [0, 1].
    alpha: (H, W) uint8 or uint16, of the colour's `bits`; None without. Colours under it are kept as they are, also
        where nothing is seen of them.
    icc: the colour profile, b"" without.
    notes: what was changed or left out when it was taken, a sentence each.
    """

    colour: Samples
    alpha: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    icc: bytes = b""
    notes: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        return self.colour.shape[0]

    @property
    def width(self) -> int:
        return self.colour.shape[1]

    @property
    def grey(self) -> bool:
        return self.colour.ndim == 2

    @property
    def bits(self) -> Literal[8, 16]:
        """Of a sample, once decoded: those of whole numbers; 8 of floats, as pictures are measured."""
        return 16 if self.colour.dtype == np.uint16 else 8


def planes(
    picture: Picture, top: int = 0, left: int = 0, height: int | None = None, width: int | None = None
) -> Planes:
    """The planes (3, h, w) of the picture or of a part of it, float32 in [0, 1]; of a grey one three that are equal."""
    bottom = None if height is None else top + height
    right = None if width is None else left + width
    part = picture.colour[top:bottom, left:right]
    scaled = part.astype(np.float32)
    if part.dtype != np.float32:
        scaled /= np.float32(2**picture.bits - 1)
    return np.ascontiguousarray(np.stack([scaled] * 3) if picture.grey else scaled.transpose(2, 0, 1))


def samples(planes: Planes, *, grey: bool, bits: int) -> Samples:
    """What is shown of decoded planes (3, h, w), float32: (h, w, 3), or (h, w) of a grey picture, uint8 or uint16.

    They are clamped to [0, 1]. Grey is the mean of the three, unweighted: of all greys it is the one nearest to them,
    and the original was the same in each. Raises ValueError for values that are not finite.
    """
    if not np.isfinite(planes).all():
        raise ValueError("decoded planes hold values that are not finite")
    shown = planes.mean(axis=0, dtype=np.float32) if grey else planes.transpose(1, 2, 0)
    levels = np.ascontiguousarray(shown.clip(0, 1))
    levels *= np.float32(2**bits - 1)
    np.rint(levels, out=levels)
    return levels.astype(np.uint16) if bits == 16 else levels.astype(np.uint8)


def of_array(array: NDArray[Any]) -> Picture:
    """The picture of an array (H, W), or (H, W, C) of grey, grey and alpha, RGB, or RGB and alpha.

    uint8 and uint16 are as they are; floats, in [0, 1], become float32, their alpha 8 bits. Raises PixelsError.
    """
    if np.ma.is_masked(array):
        raise PixelsError("an array some of whose pixels are masked is no picture: give its .filled()")
    array = np.asarray(array)  # a matrix has two axes, whatever is asked of it
    if array.ndim == 2:
        array = array[..., None]
    shape = " x ".join(map(str, array.shape))
    if array.ndim != 3 or array.shape[2] not in WITH_ALPHA:
        first = array.ndim == 3 and array.shape[0] in WITH_ALPHA
        hint = "; an array has its channels last, a tensor first" if first else ""
        raise PixelsError(
            f"an array of {shape} is no picture: it must be (H, W) or (H, W, C) with 1 to 4 channels{hint}"
        )
    if not array.size:
        raise PixelsError(f"an array of {shape} holds no pixels")
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise PixelsError(f"pixels of {array.dtype} must be in [0, 1], and some are not")
        array = array.astype(np.float32)
    elif array.dtype in (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.uint16).newbyteorder()):
        array = array.astype(array.dtype.newbyteorder("="))
    else:
        raise PixelsError(
            f"pixels of {array.dtype} have no known white: they must be uint8, uint16, or floats in [0, 1]"
        )
    has_alpha = WITH_ALPHA[array.shape[2]]
    colour = np.ascontiguousarray(array[..., :-1] if has_alpha else array)
    alpha = np.ascontiguousarray(array[..., -1]) if has_alpha else None
    if alpha is not None and alpha.dtype == np.float32:
        alpha = np.rint(alpha * np.float32(255)).astype(np.uint8)
    return Picture(colour[..., 0] if colour.shape[2] == 1 else colour, alpha)


def of_tensor(tensor: "Tensor") -> Picture:
    """The picture of a tensor (C, H, W), C as in `of_array`, on any device.

    Raises PixelsError, also for one that is not made of its numbers alone, in order: sparse, quantised, without values.
    """
    _check_plain(tensor)
    shape = tuple(tensor.shape)
    if tensor.dim() != 3 or shape[0] not in WITH_ALPHA:
        hint = ": give x[0]" if tensor.dim() == 4 and len(tensor) == 1 else ""
        raise PixelsError(f"a tensor {shape} is no picture: it must be (C, H, W) with 1 to 4 channels{hint}")
    try:
        tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
        if tensor.is_floating_point():
            tensor = tensor.float()
        array = tensor.permute(1, 2, 0).numpy()
    except (RuntimeError, TypeError) as error:  # what else torch has: four bits a number, tensors of a trace
        raise PixelsError(
            f"the pixels of a {type(tensor).__name__} of {tensor.dtype} cannot be read: {error}"
        ) from error
    return of_array(array)


def _check_plain(tensor: "Tensor") -> None:
    import torch

    if tensor.is_meta:
        raise PixelsError("a tensor on the device meta has no pixels")
    if tensor.is_quantized:
        raise PixelsError(f"a quantised tensor ({tensor.dtype}) is no picture: give its .dequantize()")
    if tensor.is_nested:
        raise PixelsError("a nested tensor is no picture: give one of its parts")
    if tensor.layout != torch.strided:
        raise PixelsError(f"a tensor of layout {tensor.layout} is no picture: give its .to_dense()")


def to_array(picture: Picture) -> Samples:
    """(H, W) of grey without alpha, else (H, W, C) as `of_array` takes it; of whole numbers, uint8 or uint16."""
    shown = _whole(picture)
    if shown.alpha is None:
        return shown.colour
    colour = shown.colour[..., None] if shown.grey else shown.colour
    joined: Samples = np.concatenate((colour, shown.alpha[..., None]), axis=-1)
    return joined


def to_tensor(picture: Picture) -> "Tensor":
    """(C, H, W) as `of_tensor` takes it, float32 in [0, 1]: the values that a file of the picture would hold."""
    import torch

    array = to_array(picture)
    array = array[..., None] if array.ndim == 2 else array
    scaled = array.astype(np.float32) / np.float32(2**picture.bits - 1)
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))


def to_pil(picture: Picture) -> "Image.Image":
    """An image of Pillow's: L, LA, RGB, RGBA, or I;16 of grey. Raises PixelsError for others of 16 bits."""
    from PIL import Image

    array = to_array(picture)
    if picture.bits == 16 and array.ndim == 3:
        raise PixelsError("Pillow has 16 bits for grey alone: take this picture as an array or a tensor")
    mode = "I;16" if picture.bits == 16 else MODES[array.shape[2] if array.ndim == 3 else 1]
    little_endian = array.astype("<u2") if picture.bits == 16 else array
    image = Image.frombytes(mode, (picture.width, picture.height), np.ascontiguousarray(little_endian).data)
    if picture.icc:
        image.info["icc_profile"] = picture.icc
    return image


def _whole(picture: Picture) -> Picture:
    if picture.colour.dtype != np.float32:
        return picture
    return replace(picture, colour=np.rint(picture.colour * np.float32(255)).astype(np.uint8))
