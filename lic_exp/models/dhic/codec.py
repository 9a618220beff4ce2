"""DHIC, a hierarchical codec of four scales, as released and in sizes and variants of our own."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal, Self, TypeVar

import torch
from torch import Tensor, nn

from lic_exp.capabilities import CodecFacts, signed_as
from lic_exp.conditions import Below, MultipleOf, Not
from lic_exp.models.base import CodecOutput, CodingPart, Compressed, VariableRateCodec
from lic_exp.models.dhic.blocks import FFN, BaseBlock, mixers, summed_together
from lic_exp.models.dhic.conditioning import LOOK_UP, PARTS, Gains, as_quality, gains_at, starting_values
from lic_exp.models.dhic.config import CLEAN, DHICConfig, check_scaling
from lic_exp.models.dhic.convolution import memory_format
from lic_exp.models.dhic.latent import Latent, LatentBlock
from lic_exp.models.dhic.network import PORTABLE, Encoder, Merge, decoder_network, entropy_network
from lic_exp.models.dhic.spectral import start_as_pyramid, start_as_transform
from lic_exp.models.dtypes import check_image
from lic_exp.models.portable import narrowed
from lic_exp.ops.precision import widened
from lic_exp.option_types import Neutral, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from lic_exp.requirements import Entries, Forbids, declares

T = TypeVar("T")
Features = list[tuple[Tensor, Tensor]]
"""The entropy path's feature before and after every scale's latent, coarse to fine."""
SCALES = 4
BY_SCALE = ", one per scale, coarse to fine"
LOG2_E = 1.4426950408889634


@signed_as("dhic")
@declares(
    Entries(SCALES, ("widths", "latent_channels", "encoder_depths"), BY_SCALE),
    Entries(SCALES, ("entropy_depths", "entropy_depths_after", "decoder_depths", "decoder_depths_after"), BY_SCALE),
    Entries(2, ("initial_step",), ": at quality 0 and at the largest"),
    Forbids(
        {"ffn_ratio": Not(MultipleOf(2))},
        "ffn_ratio is {ffn_ratio}, but must be even: the inner layer is folded in two",
    ),
    Forbids({"q_num": Below(2)}, "q_num is {q_num}, but a variable rate needs at least 2"),
)
class DHIC(VariableRateCodec):
    """Four latents at strides 64, 32, 16 and 8 (NJUVISION/DHVC, folder dhic, commit 145b8b3).

        x -> fold 8x8 -> blocks -> e_4 -> blocks -> e_3 -> blocks -> e_2 -> blocks -> e_1     (encoder, upwards)
        em_bias  -> blocks -> [z_1 | e_1] -> up -> [z_2 | e_2] -> up -> [z_3 | e_3] -> up -> [z_4 | e_4]
        dec_bias -> blocks -> merge 1 ----> up -> merge 2 ----> up -> merge 3 ----> up -> merge 4 -> blocks -> x_hat

    Every z_l has a Gaussian prior from the feature above it and is quantised around the prior's mean; a merge takes
    that feature from before and after z_l. The quality sets positive gains per channel and the quantisation steps.

    `latent_views` has "scaled" z~ = z / s, "descaled" z (as `latents`), "mean" (posterior), "prior_mean" mu (so
    z - mu is the innovation), and "bias": em_bias alone (1, C, 1, 1), the partner that the coarsest latent has above.

    Lists are by scale, coarse to fine, four entries each.

    widths: channels of all features of a scale.
    latent_channels: channels of z_l.
    stem_depth: encoder blocks on the 192 channels of 8x8 tiles, before any projection.
    encoder_depths: encoder blocks before each tap.
    entropy_depths, entropy_depths_after: blocks before and after each latent; none follow the finest.
    decoder_depths, decoder_depths_after: blocks before and after each merge.
    merge_depth: blocks of three times the width in every merge.
    ffn_ratio: width of the blocks' inner layer over their own; even.
    ends: the layers between 192 channels and the finest width.
    spectral_init: "ends": these start as a DCT of colour-transformed tiles (`start_as_transform`) instead of random;
        "pyramid": and all between as a pyramid of residuals (`start_as_pyramid`).
    initial_step: quantisation steps s before training, at quality 0 and at the largest, geometric between; 1, 1 in the
        release. Smaller ones let detail through earlier; in high-rate theory s goes with 1 / sqrt(lmbda).
    conditioning: every gain from a table of q_num rows, linear between them, or a quadratic polynomial in log lmbda.
    q_num: qualities are in [0, q_num - 1].
    compat: divide the prior's deviation v by s^2 as the released model does, not by s. Weights remember it.
    rdoq: rate-distortion optimised quantisation by encoders, not in training: `LatentBlock.quantised`. 0 rounds.

    `pad` replicates the right and bottom edge, as all codecs here do. The release instead centres the image in a
    black border, so that its rate of images whose sides are no multiples of 64 differs; multiples are equal.
    """

    facts = CodecFacts(downsampling_factor=64, latents=4, variable_rate=True, dtypes=("float32", "float64"))
    portable = PORTABLE
    repeated = (BaseBlock, FFN)
    string_kinds = SCALES
    decodes_first_strings = True
    initial_options = ("spectral_init", "initial_step")
    encoder_options = ("rdoq",)
    prepared = summed_together
    coding_parts = (
        CodingPart("encoder", ("encoder",), encode=True, decode=False),
        CodingPart("posterior", ("em_blocks.*.posterior", "em_blocks.*.enc_resblock"), encode=True, decode=False),
        CodingPart("entropy model", ("em_blocks", "em_bias"), encode=True, decode=True),
        CodingPart("decoder", ("dec_blocks", "dec_bias"), encode=False, decode=True),
        CodingPart("rates", ("*_embedding",), encode=True, decode=True),
    )

    def __init__(
        self,
        *,
        widths: list[PositiveInt],
        latent_channels: list[PositiveInt],
        stem_depth: NonNegativeInt,
        encoder_depths: list[NonNegativeInt],
        entropy_depths: list[NonNegativeInt],
        entropy_depths_after: list[NonNegativeInt],
        decoder_depths: list[NonNegativeInt],
        decoder_depths_after: list[NonNegativeInt],
        merge_depth: NonNegativeInt,
        ffn_ratio: PositiveInt,
        ends: Literal["weighted_3x3", "1x1"],
        spectral_init: Literal["random", "ends", "pyramid"],
        initial_step: list[PositiveFloat],
        conditioning: Literal["table", "smooth"],
        q_num: PositiveInt,
        compat: bool,
        rdoq: Annotated[NonNegativeFloat, Neutral(0.0)],
    ) -> None:
        super().__init__()
        config = DHICConfig(
            widths=widths,
            latent_channels=latent_channels,
            stem_depth=stem_depth,
            encoder_depths=encoder_depths,
            entropy_depths=entropy_depths,
            entropy_depths_after=entropy_depths_after,
            decoder_depths=decoder_depths,
            decoder_depths_after=decoder_depths_after,
            merge_depth=merge_depth,
            ffn_ratio=ffn_ratio,
            ends=ends,
            scale_power=2 if compat else 1,
            rdoq=rdoq,
        )
        self.max_quality = float(q_num - 1)
        self.compat = compat
        self.widths = widths
        self.look_up = LOOK_UP[conditioning]
        self._add_parameters(
            config,
            starting_values(conditioning, q_num, 1.0, 1.0),
            starting_values(conditioning, q_num, *initial_step),
        )
        self.encoder = Encoder(config)
        self.em_blocks = entropy_network(config)
        self.dec_blocks = decoder_network(config)
        if not compat:
            self.register_buffer(CLEAN, torch.tensor(True))
        self.register_load_state_dict_pre_hook(_check_loaded)
        if spectral_init != "random":
            start_as_transform(*self.ends())
        if spectral_init == "pyramid":
            start_as_pyramid(list(self.modules()))

    def _add_parameters(self, config: DHICConfig, gain: Tensor, step: Tensor) -> None:
        """Biases, all zeros, and conditioning with these values (R, 1, 1, 1), under the released model's names."""
        self.em_bias = nn.Parameter(torch.zeros(1, config.widths[0], 1, 1))
        self.dec_bias = nn.Parameter(torch.zeros(1, config.widths[0], 1, 1))
        named = [(f"{part}{scale}_lmb", width, gain) for part in PARTS for scale, width in enumerate(config.widths, 1)]
        named += [(f"z{scale}_scale", channels, step) for scale, channels in enumerate(config.latent_channels, 1)]
        for name, channels, values in named:
            self.register_parameter(f"{name}_embedding", nn.Parameter(values.repeat(1, channels, 1, 1)))

    def forward(self, x: Tensor, quality: float | Tensor | None = None) -> CodecOutput:
        gains = self._gains(x, quality)
        taps = self.encoder(x)
        features, latents = self._descend(x, lambda scale, block, f: block(f, taps[scale], gains[scale]))
        return self._output(self._reconstruct(features, gains), latents)

    @torch.no_grad()
    def partial(self, x: Tensor, quality: float | Tensor | None = None, *, scales: int) -> Tensor:
        """`VariableRateCodec.partial`: latents that are not decoded take their prior's mean, from the feature above."""
        if not 0 <= scales <= SCALES:
            raise ValueError(f"scales is {scales}, but there are {SCALES}: 0 to {SCALES} can be decoded")
        check_image(self, x)
        gains = self._gains(x, quality)
        taps = self.encoder(x)

        def visit(scale: int, block: LatentBlock, f: Tensor) -> tuple[Tensor, Latent | None]:
            return block(f, taps[scale], gains[scale]) if scale < scales else block.skip(f, gains[scale])

        features, _ = self._descend(x, visit)
        return self._reconstruct(features, gains)

    def compress(self, x: Tensor, quality: float | None = None) -> Compressed:
        gains = self._gains(x, quality)
        taps = self.encoder(x)
        _, strings = self._descend(x, lambda scale, block, f: block.encode(f, taps[scale], gains[scale]))
        asked = self.max_quality if quality is None else float(quality)
        return Compressed(strings, tuple(taps[0].shape[-2:]), state=x, quality=asked)

    def decompress(self, compressed: Compressed) -> Tensor:
        """`Codec.decompress`; of only the first of the four string kinds, or none, the picture is partial."""
        given = compressed.strings
        height, width = compressed.shape
        like = self.em_bias.new_empty(len(given[0]) if given else 1, 3, 64 * height, 64 * width)
        gains = self._gains(like, compressed.quality)

        def visit(scale: int, block: LatentBlock, f: Tensor) -> tuple[Tensor, None]:
            return block.decode(f, given[scale], gains[scale]) if scale < len(given) else block.skip(f, gains[scale])

        features, _ = self._descend(like, visit)
        return self._reconstruct(features, gains).clamp(0, 1)

    def reconstruct(self, compressed: Compressed) -> Tensor:
        output: CodecOutput = self(compressed.state, compressed.quality)
        return output.x_hat.clamp(0, 1)

    def update(self, force: bool = True) -> None:
        for block in self.latent_blocks():
            block.discrete_gaussian.update()

    def latent_blocks(self) -> list[LatentBlock]:
        """Coarse to fine."""
        return [block for block in self.em_blocks if isinstance(block, LatentBlock)]

    def ends(self) -> tuple[nn.Conv2d, nn.Conv2d]:
        """The layers from and to the 192 channels of 8x8 tiles."""
        first, last = self.encoder.enc_blocks[self.encoder.end], self.dec_blocks[-2]
        assert isinstance(first, nn.Conv2d)
        assert isinstance(last, nn.Conv2d)
        return first, last

    def fuse(self) -> Self:
        """Make one convolution of every block's three depthwise branches, in place, for faster inference.

        The state dict has other keys afterwards; neither train nor save a fused codec. Encode and decode with codecs
        that are both fused or both not: rounding differs.
        """
        for mixer in mixers(self):
            mixer.fuse()
        return self

    def check_weights(self, weights: Mapping[str, Any]) -> None:
        """Raise ValueError where weights were made for the other way of scaling the prior's deviation."""
        check_scaling(weights, compat=self.compat)

    def _gains(self, x: Tensor, quality: float | Tensor | None) -> list[Gains]:
        q = as_quality(quality, len(x), self.max_quality, x.device)
        return gains_at(q, self.look_up, partial(getattr, self), SCALES)

    def _descend(
        self, x: Tensor, visit: Callable[[int, LatentBlock, Tensor], tuple[Tensor, T]]
    ) -> tuple[Features, list[T]]:
        """The entropy path for images like x: features, and what `visit` gives beside f_out at every latent block."""
        f = self._start(self.em_bias, x)
        features: Features = []
        found: list[T] = []
        for module in self.em_blocks:
            if isinstance(module, LatentBlock):
                f_out, result = visit(len(found), module, f)
                features.append((f, f_out))
                found.append(result)
                f = f_out
            else:
                f = module(f)
        return features, found

    def _reconstruct(self, features: Features, gains: list[Gains]) -> Tensor:
        features = [(narrowed(f, self.dec_bias), narrowed(f_out, self.dec_bias)) for f, f_out in features]
        d = self._start(self.dec_bias, features[0][0], stride=1)
        scale = 0
        for module in self.dec_blocks:
            if isinstance(module, Merge):
                d = module(d, *features[scale], gains[scale].decoder)
                scale += 1
            else:
                d = module(d)
        return widened(d)

    def _start(self, bias: Tensor, like: Tensor, stride: int = 64) -> Tensor:
        """The bias at every position of the coarsest scale."""
        height, width = like.shape[-2:]
        start = bias.expand(len(like), -1, height // stride, width // stride)
        return start.contiguous(memory_format=memory_format(like, self.widths))

    def _output(self, x_hat: Tensor, latents: list[Latent]) -> CodecOutput:
        bits = {f"z{scale}": latent.nats * LOG2_E for scale, latent in enumerate(latents, 1)}
        z = tuple(latent.z for latent in latents)
        views = {
            "descaled": z,
            "scaled": tuple(latent.scaled for latent in latents),
            "mean": tuple(latent.mean for latent in latents),
            "prior_mean": tuple(latent.prior_mean for latent in latents),
            "bias": (self.em_bias,),
        }
        return CodecOutput(x_hat, bits, z, views)


def _check_loaded(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """`DHIC.check_weights`, also where the codec is a part of what is being loaded."""
    assert isinstance(module, DHIC)
    module.check_weights({key.removeprefix(prefix): None for key in state_dict if key.startswith(prefix)})
