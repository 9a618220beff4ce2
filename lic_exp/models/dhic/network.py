"""The three parts: encoder up, entropy model down, decoder down. Positions in them are the released model's keys."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lic_exp.models.dhic.blocks import FFN, BaseBlock
from lic_exp.models.dhic.config import DHICConfig, Ends
from lic_exp.models.dhic.convolution import Conv1x1, WeightedConv2d, memory_format
from lic_exp.models.dhic.latent import LatentBlock
from lic_exp.models.portable import PortableMode

FINEST_STRIDE = 8
PIXELS = 3 * FINEST_STRIDE**2
"""Channels of an image folded into tiles of 8x8 pixels."""

PORTABLE = PortableMode(
    predicting=("em_*", "em?_lmb_embedding", "z?_scale_embedding"),
    but=("em_blocks.*.posterior.*", "em_blocks.*.enc_resblock.*"),
    margin=1e-9,
)


class Tap(nn.Identity):
    """Marks where a scale's features leave the encoder."""


class Encoder(nn.Module):
    """x -> fold into 8x8 tiles -> stem -> end -> blocks, tap -> 2x2/2, blocks, tap -> ..."""

    def __init__(self, config: DHICConfig) -> None:
        super().__init__()
        *coarser, finest = config.widths
        layers: list[nn.Module] = [nn.PixelUnshuffle(FINEST_STRIDE)]
        layers += BaseBlock.repeated(config.stem_depth, PIXELS, config.ffn_ratio)
        layers.append(end_layer(config.ends, PIXELS, finest))
        layers += [*BaseBlock.repeated(config.encoder_depths[-1], finest, config.ffn_ratio), Tap()]
        for width, finer, depth in reversed(list(zip(coarser, config.widths[1:], config.encoder_depths, strict=False))):
            layers.append(nn.Conv2d(finer, width, kernel_size=2, stride=2))
            layers += [*BaseBlock.repeated(depth, width, config.ffn_ratio), Tap()]
        self.enc_blocks = nn.ModuleList(layers)
        self.widths = config.widths
        self.end = 1 + config.stem_depth

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


def entropy_network(config: DHICConfig) -> nn.ModuleList:
    """The running feature's way down: blocks, latent block and blocks of every scale, with upsampling between."""
    latents = [
        LatentBlock(width, channels, config.ffn_ratio, config.scale_power, config.rdoq)
        for width, channels in zip(config.widths, config.latent_channels, strict=True)
    ]
    return nn.ModuleList(_downwards(config, config.entropy_depths, latents, config.entropy_depths_after))


def decoder_network(config: DHICConfig) -> nn.ModuleList:
    """The same way with merges for latent blocks, and from the finest scale to pixels."""
    merges = [Merge(width, config.merge_depth, config.ffn_ratio) for width in config.widths]
    layers = _downwards(config, config.decoder_depths, merges, config.decoder_depths_after)
    return nn.ModuleList([*layers, end_layer(config.ends, config.widths[-1], PIXELS), nn.PixelShuffle(FINEST_STRIDE)])


def _downwards(
    config: DHICConfig, depths: Sequence[int], middles: Sequence[nn.Module], depths_after: Sequence[int]
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    coarser = None
    for width, depth, middle, depth_after in zip(config.widths, depths, middles, depths_after, strict=True):
        if coarser is not None:
            layers += [nn.Sequential(Conv1x1(coarser, 4 * width), nn.PixelShuffle(2)), FFN(width, config.ffn_ratio)]
        layers += BaseBlock.repeated(depth, width, config.ffn_ratio)
        layers += [middle, *BaseBlock.repeated(depth_after, width, config.ffn_ratio)]
        coarser = width
    return layers


def end_layer(ends: Ends, in_channels: int, out_channels: int) -> nn.Conv2d:
    """The projection between pixels and the finest scale's width."""
    kind = Conv1x1 if ends == "1x1" else WeightedConv2d
    return kind(in_channels, out_channels)
