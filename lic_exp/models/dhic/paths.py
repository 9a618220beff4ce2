"""The three paths: encoder up, entropy model down, decoder down. Positions in them are the released model's keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lic_exp.models.dhic.blocks import FFN, BaseBlock
from lic_exp.models.dhic.convolution import Conv1x1, WeightedConv2d, memory_format
from lic_exp.models.dhic.latent import LatentBlock

FINEST_STRIDE = 8
PIXELS = 3 * FINEST_STRIDE**2
"""Channels of an image folded into tiles of 8x8 pixels."""

Ends = Literal["weighted_3x3", "1x1"]


@dataclass(frozen=True)
class Shape:
    """What the paths are built from; lists are by scale, coarse to fine. See `lic_exp.models.dhic.codec.DHIC`."""

    widths: Sequence[int]
    latent_channels: Sequence[int]
    stem_depth: int
    encoder_depths: Sequence[int]
    entropy_depths: Sequence[int]
    entropy_depths_after: Sequence[int]
    decoder_depths: Sequence[int]
    decoder_depths_after: Sequence[int]
    merge_depth: int
    ffn_ratio: int
    ends: Ends
    scale_power: int


class Tap(nn.Identity):
    """Marks where a scale's features leave the encoder."""


class Encoder(nn.Module):
    """x -> fold into 8x8 tiles -> stem -> end -> blocks, tap -> 2x2/2, blocks, tap -> ..."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        *coarser, finest = shape.widths
        layers: list[nn.Module] = [nn.PixelUnshuffle(FINEST_STRIDE)]
        layers += BaseBlock.repeated(shape.stem_depth, PIXELS, shape.ffn_ratio)
        layers.append(end_layer(shape.ends, PIXELS, finest))
        layers += [*BaseBlock.repeated(shape.encoder_depths[-1], finest, shape.ffn_ratio), Tap()]
        for width, finer, depth in reversed(list(zip(coarser, shape.widths[1:], shape.encoder_depths, strict=False))):
            layers.append(nn.Conv2d(finer, width, kernel_size=2, stride=2))
            layers += [*BaseBlock.repeated(depth, width, shape.ffn_ratio), Tap()]
        self.enc_blocks = nn.ModuleList(layers)
        self.widths = shape.widths
        self.end = 1 + shape.stem_depth

    def forward(self, x: Tensor) -> list[Tensor]:
        """The taps (B, C_l, h_l, w_l), coarse to fine."""
        taps: list[Tensor] = []
        fold, *layers = self.enc_blocks
        x = fold(x).contiguous(memory_format=memory_format(x, self.widths))
        for layer in layers:
            x = layer(x)
            if isinstance(layer, Tap):
                taps.insert(0, x)
        return taps


class Merge(nn.Module):
    """d' = O B(concat[d, f_out g, f_ctx g]): a scale's features from before and after its latent enter the decoder."""

    def __init__(self, width: int, depth: int, ffn_ratio: int) -> None:
        super().__init__()
        if depth:
            self.merge: nn.Module = _chain(BaseBlock.repeated(depth, 3 * width, ffn_ratio))
        self.outlayer = Conv1x1(3 * width, width)
        self.depth = depth

    def forward(self, d: Tensor, before: Tensor, after: Tensor, gain: Tensor) -> Tensor:
        merged = torch.cat((d, after * gain, before * gain), 1)
        y: Tensor = self.outlayer(self.merge(merged) if self.depth else merged)
        return y


def _chain(blocks: list[BaseBlock]) -> nn.Module:
    """A single block stays itself, as its keys in the released model say."""
    return blocks[0] if len(blocks) == 1 else nn.Sequential(*blocks)


def entropy_path(shape: Shape) -> nn.ModuleList:
    """The running feature's way down: blocks, latent block and blocks of every scale, with upsampling between."""
    latents = [
        LatentBlock(width, channels, shape.ffn_ratio, shape.scale_power)
        for width, channels in zip(shape.widths, shape.latent_channels, strict=True)
    ]
    return nn.ModuleList(_downwards(shape, shape.entropy_depths, latents, shape.entropy_depths_after))


def decoder_path(shape: Shape) -> nn.ModuleList:
    """The same way with merges for latent blocks, and from the finest scale to pixels."""
    merges = [Merge(width, shape.merge_depth, shape.ffn_ratio) for width in shape.widths]
    layers = _downwards(shape, shape.decoder_depths, merges, shape.decoder_depths_after)
    return nn.ModuleList([*layers, end_layer(shape.ends, shape.widths[-1], PIXELS), nn.PixelShuffle(FINEST_STRIDE)])


def _downwards(
    shape: Shape, depths: Sequence[int], middles: Sequence[nn.Module], depths_after: Sequence[int]
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    coarser = None
    for width, depth, middle, depth_after in zip(shape.widths, depths, middles, depths_after, strict=True):
        if coarser is not None:
            layers += [nn.Sequential(Conv1x1(coarser, 4 * width), nn.PixelShuffle(2)), FFN(width, shape.ffn_ratio)]
        layers += BaseBlock.repeated(depth, width, shape.ffn_ratio)
        layers += [middle, *BaseBlock.repeated(depth_after, width, shape.ffn_ratio)]
        coarser = width
    return layers


def end_layer(ends: Ends, in_channels: int, out_channels: int) -> nn.Conv2d:
    """The projection between pixels and the finest scale's width."""
    kind = Conv1x1 if ends == "1x1" else WeightedConv2d
    return kind(in_channels, out_channels)
