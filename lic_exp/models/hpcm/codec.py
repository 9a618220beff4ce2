"""HPCM, a hyperprior codec whose latent is coded in three nested scales: the released graphs and sizes of our own."""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lic_exp.capabilities import CodecFacts, signed_as
from lic_exp.conditions import MultipleOf, Not
from lic_exp.models.base import Codec, CodecOutput, CodingPart, Compressed
from lic_exp.models.compressai_coding import StepwiseDecoder, Tables, encode
from lic_exp.models.hpcm.cdf_tables import boundaries, coding_tables, existing, scale_table
from lic_exp.models.hpcm.coding import Decode, Encode, Quantise, rounded
from lic_exp.models.hpcm.compat import CORRECTED, check_mode, with_gains
from lic_exp.models.hpcm.config import STRIDE, HPCMConfig
from lic_exp.models.hpcm.layers import Residual
from lic_exp.models.hpcm.likelihood import SCALE_FLOOR, EntropyEstimation
from lic_exp.models.hpcm.nested import NestedScales
from lic_exp.models.hpcm.partition import Partition, move, partition
from lic_exp.models.hpcm.transforms import analysis, hyper_analysis, hyper_synthesis, synthesis
from lic_exp.models.noise import Noise
from lic_exp.models.portable import as_weights_of
from lic_exp.ops.padding import centred, crop_centred
from lic_exp.ops.precision import widened
from lic_exp.option_types import NonNegativeInt, PositiveInt
from lic_exp.requirements import Entries, Forbids, Unused, declares

TABLES = (
    *("scale_table", "quantized_cdf_z", "cdf_length_z", "offset_z"),
    *("quantized_cdf_y", "cdf_length_y", "offset_y"),
)


@signed_as("hpcm")
@declares(
    Entries(2, ("hyper_depths",)),
    Entries(3, ("widths", "adaptor_depths", "prior_s1_s2_depths", "prior_s3_depths", "attention_windows")),
    Entries(4, ("analysis_depths", "synthesis_depths")),
    Forbids({"M": Not(MultipleOf(8))}, "M is {M}, but must be a multiple of 8: the steps take groups of channels"),
    Unused("attention_windows", {"attention_heads": None}),
)
class HPCM(NestedScales, Codec):
    """Hierarchical progressive context modelling (Li, Ma, Yang, Zhang, Jiang, ICCV 2025; released graphs of
    lyq133/LIC-HPCM, commit c271cfe). Base and Large; `HPCM128` has PhiContext and 1B.

        x -> g_a -> y -> h_a -> z -> Q -> h_s -> scales, means         (side information)
        s1: 1/16 of y in 2 steps -> s2: 3/16 more in 3 -> s3: the rest in 6 -> y_hat -> g_s -> x_hat

    Every step but the first has t = prior(adaptor([context | y_hat so far])) for its scales and means, and the next
    context is what t finds in the context by `WindowAttention`, or t itself.

    `latents` are y_hat at s1, s2 and s3, (B, M, H/4, W/4), (B, M, H/2, W/2) and (B, M, H, W): samples of one latent,
    so each contains all symbols of the coarser one, at other positions in every group of channels.

    M: channels of y, a multiple of 8. N: channels of z.
    widths: channels of g_a at strides 2, 4 and 8; g_s mirrors them.
    analysis_depths, synthesis_depths: blocks of g_a and of g_s at strides 2, 4, 8 and 16.
    pixel_kernel: sides of the kernels next to the pixels.
    hyper_width: channels of h_a and h_s at stride 32.
    hyper_depths: blocks of h_a, and of h_s, at strides 16 and 32.
    partial_ratio: of the channels of a block of these transforms, one in so many enters its 3x3 convolution.
    adaptor_depths: blocks of an adaptor at s1, s2 and s3; 0: a 1x1 convolution.
    prior_s1_s2_depths, prior_s3_depths: blocks of a prior before the gain, after it, and after its last layer.
    attention_heads: null: the next context is t. attention_windows: sides of the windows at s1, s2 and s3.
    layout: names of keys: "branch" (Base, Large, PhiContext) or "staged" (1B).
    compat: compute as the released models do, faults included; weights remember it. What differs is the hyperprior's
        place at s2 (there it is shifted, by how much depends on the width), the tails of estimated probabilities, and
        the coding tables: ours count both tails, and take the nearest scale instead of the next larger.

    Sides are multiples of 16 times the least common multiple of 8 (the steps' tiles at s1) and of what the windows
    need, which is what `facts` must say.
    """

    facts = CodecFacts(downsampling_factor=256, latents=3, nested_latents=True, dtypes=("float32", "float64"))
    repeated = (Residual,)
    string_kinds = 2
    coding_parts = (
        CodingPart("g_a", ("g_a",), encode=True, decode=False),
        CodingPart("h_a", ("h_a",), encode=True, decode=False),
        CodingPart("h_s", ("h_s",), encode=True, decode=True),
        CodingPart(
            "context", ("y_spatial_prior_*", "attn_s*", "context_net", "adaptive_params_list"), encode=True, decode=True
        ),
        CodingPart("z", ("means_hyper", "scales_hyper"), encode=True, decode=True),
        CodingPart("g_s", ("g_s",), encode=False, decode=True),
    )

    scale_table: Tensor
    quantized_cdf_z: Tensor
    cdf_length_z: Tensor
    offset_z: Tensor
    quantized_cdf_y: Tensor
    cdf_length_y: Tensor
    offset_y: Tensor

    def __init__(
        self,
        *,
        M: PositiveInt,
        N: PositiveInt,
        widths: list[PositiveInt],
        analysis_depths: list[NonNegativeInt],
        synthesis_depths: list[NonNegativeInt],
        pixel_kernel: Literal[2, 4],
        hyper_width: PositiveInt,
        hyper_depths: list[NonNegativeInt],
        partial_ratio: PositiveInt,
        adaptor_depths: list[NonNegativeInt],
        prior_s1_s2_depths: list[NonNegativeInt],
        prior_s3_depths: list[NonNegativeInt],
        attention_heads: PositiveInt | None,
        attention_windows: list[PositiveInt],
        layout: Literal["branch", "staged"],
        compat: bool,
    ) -> None:
        super().__init__()
        config = HPCMConfig(
            M=M,
            N=N,
            widths=widths,
            analysis_depths=analysis_depths,
            synthesis_depths=synthesis_depths,
            pixel_kernel=pixel_kernel,
            hyper_width=hyper_width,
            hyper_depths=hyper_depths,
            partial_ratio=partial_ratio,
            adaptor_depths=adaptor_depths,
            prior_s1_s2_depths=prior_s1_s2_depths,
            prior_s3_depths=prior_s3_depths,
            attention_heads=attention_heads,
            attention_windows=attention_windows,
            layout=layout,
        )
        if config.factor != self.facts.downsampling_factor:
            raise ValueError(
                f"attention_windows {attention_windows} need images whose sides are multiples of {config.factor}, but "
                f"{type(self).__name__} is for {self.facts.downsampling_factor}"
            )
        self.M, self.compat = M, compat
        self.means_hyper = nn.Parameter(torch.zeros(1, N, 1, 1))
        self.scales_hyper = nn.Parameter(torch.ones(1, N, 1, 1))
        for name in TABLES:
            self.register_buffer(name, torch.zeros(0))
        self.entropy_estimation = EntropyEstimation(compat)
        self.noise = Noise()
        self.g_a, self.g_s = analysis(config), synthesis(config)
        self.h_a, self.h_s = hyper_analysis(config), hyper_synthesis(config)
        self.add_context(config)
        if not compat:
            self.register_buffer(CORRECTED, torch.tensor(True))
        self.register_load_state_dict_pre_hook(_before_loading)

    def forward(self, x: Tensor) -> CodecOutput:
        grid, y, z = self._analysed(x)
        z_hat = rounded(z, self.means_hyper)
        walk = self.walk(self._hyper(z_hat), grid, Quantise(self._at_scales(y, grid)))
        scales, means = walk.params.chunk(2, 1)
        bits = {
            "z": self.entropy_estimation(self._as_coded(z - self.means_hyper), self.scales_hyper.expand_as(z)),
            "y": self.entropy_estimation(self._as_coded(y - means), scales),
        }
        x_hat = widened(self.g_s(walk.latents[-1]))
        return CodecOutput(x_hat, {"y": bits["y"], "z": bits["z"]}, walk.latents)

    @torch.no_grad()
    def compress(self, x: Tensor) -> Compressed:
        """`Codec.compress`: strings of y and of z, each coded by itself, image by image."""
        coded = [self._compressed(image) for image in x.split(1)]
        y_strings, z_strings, y_hat, shapes = map(list, zip(*coded, strict=True))
        return Compressed([y_strings, z_strings], shapes[0], state=torch.cat(y_hat))

    def _compressed(self, x: Tensor) -> tuple[bytes, bytes, Tensor, tuple[int, ...]]:
        grid, y, z = self._analysed(x)
        symbols = (z - self.means_hyper).round()
        z_string = encode(symbols, self._channels(z), self._z_tables())
        step = Encode(self._at_scales(y, grid), self._boundaries())
        walk = self.walk(self._hyper(symbols + self.means_hyper), grid, step)
        return step.string(self._y_tables()), z_string, walk.latents[-1], tuple(z.shape[-2:])

    @torch.no_grad()
    def decompress(self, compressed: Compressed) -> Tensor:
        """`Codec.decompress`. Raises CodingError for a string that does not decode as it was encoded."""
        images = zip(*compressed.strings, strict=True)
        return self._shown(self._decoded(y, z, compressed.shape) for y, z in images)

    def _decoded(self, y_string: bytes, z_string: bytes, shape: Sequence[int]) -> Tensor:
        """y_hat (1, M, H, W)."""
        height, width = shape
        z = self.means_hyper.new_empty(1, self.means_hyper.shape[1], height, width)
        z_decoder = StepwiseDecoder(z_string, self._z_tables(), z.numel())
        symbols = z_decoder.decode(self._channels(z)).to(z.dtype)
        z_decoder.check()
        height, width = 4 * height, 4 * width
        decoder = StepwiseDecoder(y_string, self._y_tables(), self.M * height * width)
        grid = partition(height, width, self.compat, z.device)
        walk = self.walk(self._hyper(symbols + self.means_hyper), grid, Decode(decoder, self._boundaries()))
        decoder.check()
        return walk.latents[-1]

    @torch.no_grad()
    def reconstruct(self, compressed: Compressed) -> Tensor:
        return self._shown(compressed.state.split(1))

    def _shown(self, y_hat: Iterable[Tensor]) -> Tensor:
        """One by one, because what a kernel computes may depend on the number of images."""
        images = (as_weights_of(self.g_s, image) for image in y_hat)
        return torch.cat([widened(self.g_s(image)).clamp(0, 1) for image in images])

    def update(self, force: bool = True) -> None:
        """`Codec.update`. Raises ValueError where scales_hyper has entries that are no scales, under compat."""
        scales = self.scales_hyper.detach().flatten()
        table, device = scale_table(), scales.device
        y = coding_tables(table, self.compat)
        try:
            z = coding_tables(scales if self.compat else scales.clamp(min=SCALE_FLOOR), self.compat)
        except ValueError as error:
            raise ValueError(f"scales_hyper: {error}") from error
        self.scale_table = table.to(device)
        self.quantized_cdf_y, self.cdf_length_y, self.offset_y = (tensor.to(device) for tensor in y)
        self.quantized_cdf_z, self.cdf_length_z, self.offset_z = (tensor.to(device) for tensor in z)

    def pad(self, x: Tensor) -> Tensor:
        """A border of zeros around x (B, 3, H, W), up to the sides that the codec needs."""
        return centred(x, self.facts.downsampling_factor)

    def crop(self, x_hat: Tensor, height: int, width: int) -> Tensor:
        return crop_centred(x_hat, height, width)

    def coded_shape(self, height: int, width: int) -> tuple[int, int]:
        return height // (4 * STRIDE), width // (4 * STRIDE)

    def check_weights(self, weights: Mapping[str, Any]) -> None:
        """Raise ValueError where weights were made for the other mode."""
        check_mode(weights, self.compat)

    def complete_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Fill the gains that the first releases do not hold."""
        return with_gains(weights, dict(self.named_parameters()))

    def _analysed(self, x: Tensor) -> tuple[Partition, Tensor, Tensor]:
        """The tables of the size of x, y and z."""
        height, width = x.shape[-2:]
        factor = self.facts.downsampling_factor
        if height % factor or width % factor or not height or not width:
            raise ValueError(f"an image of {height}x{width}, but sides must be multiples of {factor}: pad it first")
        x = x.contiguous(memory_format=torch.channels_last)
        y = self.g_a(x)
        z = self.h_a(y)
        return partition(height // STRIDE, width // STRIDE, self.compat, x.device), widened(y), widened(z)

    def _hyper(self, z_hat: Tensor) -> Tensor:
        """Scales and means (B, 2 M, H, W)."""
        params: Tensor = self.h_s(z_hat.contiguous(memory_format=torch.channels_last))
        return params

    def _at_scales(self, y: Tensor, grid: Partition) -> list[Tensor]:
        height, width = y.shape[-2:]
        s1 = move(y, grid.to_s1, height // 4, width // 4)
        return [s1, move(y, grid.to_s2, height // 2, width // 2), y]

    def _as_coded(self, residual: Tensor) -> Tensor:
        """Rounded; in training with noise instead."""
        return residual + self.noise(residual) if self.training else residual.round()

    def _channels(self, z: Tensor) -> Tensor:
        """The table row of every symbol of z (B, N, h, w): its channel."""
        return torch.arange(z.shape[1], device=z.device)[:, None, None].expand(z.shape)

    def _boundaries(self) -> Tensor:
        return boundaries(self.scale_table, self.compat)

    def _y_tables(self) -> Tables:
        return existing(Tables(self.quantized_cdf_y, self.cdf_length_y, self.offset_y))

    def _z_tables(self) -> Tables:
        return existing(Tables(self.quantized_cdf_z, self.cdf_length_z, self.offset_z))


@signed_as("hpcm128")
@declares(Unused("attention_windows", {"attention_heads": None}))
class HPCM128(HPCM):
    """`HPCM` where sides are multiples of 128: without attention, as PhiContext and 1B, or with smaller windows."""

    facts = CodecFacts(downsampling_factor=128, latents=3, nested_latents=True, dtypes=("float32", "float64"))


def _before_loading(module: nn.Module, state: MutableMapping[str, Any], prefix: str, *_: Any) -> None:
    """Check the mode, fill what the first releases lack and pass over tables, also where the codec is a part."""
    assert isinstance(module, HPCM)
    given = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    module.check_weights(given)
    for key, value in module.complete_weights(given).items():
        state[prefix + key] = value
    for name in TABLES:
        state[prefix + name] = getattr(module, name)
