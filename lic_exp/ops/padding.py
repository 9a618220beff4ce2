"""Padding of images to the sizes that codecs accept."""

import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Replicate the right and bottom edge of x (B, C, H, W) until both sides are multiples of `multiple`.

    The decoder needs only H and W to undo it. Replication costs fewer bits than a black border.
    Returns x itself where nothing is to be added.
    """
    bottom, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


def centred(x: Tensor, multiple: int) -> Tensor:
    """Put x (B, C, H, W) in the middle of zeros whose sides are multiples of `multiple`.

    Of an odd border the larger part is below and on the right. Returns x itself where nothing is to be added.
    """
    rows, columns = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    border = columns // 2, columns - columns // 2, rows // 2, rows - rows // 2
    return F.pad(x, border) if rows or columns else x


def crop_centred(x: Tensor, height: int, width: int) -> Tensor:
    """Undo `centred`: the middle of x, height x width."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]
