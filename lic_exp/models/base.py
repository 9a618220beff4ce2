"""The codec contract: what the objective, the regularizers and the evaluator may rely on."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from lic_exp.capabilities import CodecFacts
from lic_exp.models.coding import settle
from lic_exp.models.portable import PortableMode, WideCopies
from lic_exp.models.tails import weights_for_coding
from lic_exp.ops.padding import pad_to_multiple


@dataclass(frozen=True)
class ByKey(Mapping[str, Any]):
    """Its fields, and what else `derived` names, read as CompressAI's dictionaries are: `output["x_hat"]`."""

    derived: ClassVar[tuple[str, ...]] = ()

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            raise KeyError(f"{key!r}: {type(self).__name__} has {', '.join(self)}")
        return getattr(self, key)

    def __contains__(self, key: object) -> bool:
        return key in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        first, *others = (each.name for each in fields(self))
        return [first, *self.derived, *others]


@dataclass(frozen=True)
class CodecOutput(ByKey):
    """What a codec returns for a batch of B images; also a mapping, with the keys of CompressAI's and these.

    x_hat: reconstruction (B, 3, H, W), nominally in [0, 1]; not clamped, so that its gradient survives.
    bits: estimated bits of every symbol, {latent name: (B, C, h, w)}, float32 or wider also under autocast.
    latents: the quantised latents (B, C_l, h_l, w_l), coarse to fine; always there.
    latent_views: the same latents seen otherwise, {"scaled" | "mean" | ...: one tensor per entry of `latents`}; and
        "bias": one learned tensor (1, C, 1, 1), what stands above the coarsest latent, where the codec has it.
    """

    derived = ("likelihoods",)

    x_hat: Tensor
    bits: dict[str, Tensor]
    latents: tuple[Tensor, ...]
    latent_views: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)

    @property
    def likelihoods(self) -> dict[str, Tensor]:
        """Probability of every symbol, 2^-bits, as CompressAI's losses expect them."""
        return {name: torch.exp2(-bits) for name, bits in self.bits.items()}


@dataclass(frozen=True)
class Compressed(ByKey):
    """An encoded batch; also a mapping, with CompressAI's keys and the others.

    strings: the transmitted bytes, [string kind][image], as in CompressAI.
    shape: (h, w) of the coarsest latent, which the decoder is given, as in CompressAI.
    state: what the encoder itself knows and `Codec.reconstruct` needs; never transmitted.
    quality: the rate that a variable-rate codec was asked for, one for all images, which the decoder is given too;
        None for other codecs.
    near_lines: [string kind][image], where it was coded portably, for which a decoder needs them too: the table rows
        of what was too near to the line between two (`lic_exp.models.near_lines`). None otherwise.
    """

    strings: list[list[bytes]]
    shape: Sequence[int]
    state: Any = None
    quality: float | None = None
    near_lines: list[list[bytes]] | None = None

    def bits(self) -> list[int]:
        """Transmitted bits of each image: eight times the bytes of all its strings."""
        return [8 * sum(len(string) for string in image) for image in zip(*self.strings, strict=True)]


@dataclass(frozen=True)
class CodingPart:
    """A part by which a codec's complexity is told (`lic_exp.evaluation.complexity`).

    modules: shell patterns of names of modules, or of parameters of the codec itself, each with all that is inside:
        ("em_blocks.*.posterior",).
    encode, decode: whether compressing and decompressing run it; neither where it only estimates the rate.
    """

    name: str
    modules: tuple[str, ...]
    encode: bool
    decode: bool


class Codec(nn.Module):
    """A learned image codec.

    Subclasses state `facts`, take their options as keyword-only constructor parameters, and give the five
    methods below. Nobody has to call `update`: `compress` and `decompress` do where tables are missing or old.

    `compress`, `decompress`, `reconstruct` and `update` of a subclass run as `lic_exp.models.coding.settle` says, one
    image at a time and in one arithmetic, whoever calls: a decoder follows its encoder without having to see to it.
    """

    facts: ClassVar[CodecFacts]
    packed: ClassVar[type[Compressed]] = Compressed
    """What `compress` returns, made of its parts where they are given to `decompress` as CompressAI's takes them."""
    codes_on_cpu: ClassVar[bool] = False
    """Whether it codes on the CPU wherever its weights are: on a GPU its decoder would not follow its encoder."""
    portable: ClassVar[PortableMode | None] = None
    """How it codes for any device, where it can: ask `portable_mode`."""
    repeated: ClassVar[tuple[type[nn.Module], ...]] = ()
    """The blocks that it has many of, which can be compiled once for all of a size."""
    coding_parts: ClassVar[tuple[CodingPart, ...]] = ()
    """The first that names a module has it. Modules that none names are told by their top-level child."""
    string_kinds: ClassVar[int | None] = None
    """How many strings `compress` makes of an image; None: it does not say."""
    decodes_first_strings: ClassVar[bool] = False
    """Whether `decompress` takes the first of the strings alone, none of them too, and shows what these say."""
    initial_options: ClassVar[tuple[str, ...]] = ()
    """Options that decide what new weights are, and nothing of what is computed with others."""
    encoder_options: ClassVar[tuple[str, ...]] = ()
    """Options that encoders alone heed: a decoder needs none of them."""

    made_with: dict[str, Any]
    """The options that it was made with."""
    tables_made_of: tuple[int, ...] | None = None
    """What `lic_exp.models.coding` knows of the weights that `update` has seen last."""
    told_where_it_codes = False
    codes_portably = False
    """Whether its files are for decoders on any device unless asked otherwise: `model.portable` of its options."""
    wide_copies: WideCopies | None = None
    """What `lic_exp.models.portable` keeps of the weights."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        settle(cls)

    def __new__(cls, *given: Any, **options: Any) -> Self:
        codec = super().__new__(cls)
        codec.made_with = options
        return codec

    def forward(self, x: Tensor) -> CodecOutput:
        """Estimate: x (B, 3, H, W) in [0, 1], sides multiples of `facts.downsampling_factor`.

        In train mode quantisation is relaxed (noise, from a `lic_exp.models.noise.Noise`, or straight-through); in eval
        mode latents are rounded.
        """
        raise NotImplementedError

    def compress(self, x: Tensor) -> Compressed:
        """Code x (B, 3, H, W) in [0, 1], as `pad` gives it, to bytes."""
        raise NotImplementedError

    def decompress(self, compressed: Compressed) -> Tensor:
        """Decode `compressed.strings` and `compressed.shape` alone to x_hat (B, 3, H, W) in [0, 1].

        Called as CompressAI's, `decompress(strings, shape)`, it returns {"x_hat": x_hat}, as that does.
        """
        raise NotImplementedError

    def reconstruct(self, compressed: Compressed) -> Tensor:
        """The encoder's own x_hat (B, 3, H, W) in [0, 1], from `compressed.state`, never from the strings."""
        raise NotImplementedError

    def update(self, force: bool = True) -> None:
        """Build the entropy coder's tables from the current weights."""
        raise NotImplementedError

    def portable_mode(self) -> PortableMode:
        """How it codes for any device, `lic_exp.models.portable.portable_coding`. Raises ValueError where it cannot."""
        if self.portable is None:
            name = type(self).__name__
            raise ValueError(f"{name} has no portable mode: code without, and decode on a device like the encoder's")
        return self.portable

    def partial(self, x: Tensor, *, scales: int) -> Tensor:
        """x_hat (B, 3, H, W), not clamped, from the first `scales` of `latents`, 0 to all of them, in eval mode.

        The others take what their prior foretells, as in a decoder that was not sent them. With all of them it is the
        x_hat of `forward`. x: as `forward` takes it. Raises ValueError for another number of scales. A codec of several
        latents that does not define it cannot be diagnosed (`lic_exp.evaluation.diagnosis`), and no more.
        """
        raise NotImplementedError

    def bits_by_scale(self, bits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The bits of `forward` as sums (B,) of what is sent, in that order: side information, then scale by scale.

        The last `facts.latents` entries are what each of `latents` adds to those before. Raises NotImplementedError
        where the latents of `bits` are others; a codec that defines `partial` says then which is which.
        """
        if len(bits) != self.facts.latents:
            raise NotImplementedError(f"bits of {', '.join(bits)}, but {self.facts.latents} latents")
        return {name: values.double().flatten(1).sum(1) for name, values in bits.items()}

    @torch.no_grad()
    def sample_output(self) -> CodecOutput:
        """What one black image of the smallest legal side gives in eval mode.

        This is how others learn which latents and views there are, with how many channels: no list can disagree.
        """
        was_training, parameter = self.training, next(self.parameters())
        side = self.facts.downsampling_factor
        output: CodecOutput = self.eval()(parameter.new_zeros(1, 3, side, side))
        self.train(was_training)
        return output

    def aux_loss(self) -> Tensor:
        """Loss of the quantile parameters (names ending in `quantiles`), a scalar; 0 where there are none."""
        return next(self.parameters()).new_zeros(())

    def weights_for_coding(self) -> dict[str, Tensor]:
        """The state dict that is kept of a training, to be coded with: `lic_exp.models.tails.weights_for_coding`.

        What `forward` gives of it in eval mode is what it gives of the weights themselves.
        """
        return weights_for_coding(self)

    def prepared(self) -> AbstractContextManager[None]:
        """Entered around a forward pass in training, outside of what is compiled and under its autocast.

        For what can be made of the weights alone: for many modules at once, where each would launch its own kernels.
        Nothing of it may be left behind.
        """
        return nullcontext()

    def check_weights(self, weights: Mapping[str, Any]) -> None:
        """Raise ValueError for weights {key: tensor} that would fit but mean something else here."""

    def complete_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a file {key: tensor} with what its kind is known to lack; says what it has filled in."""
        return weights

    def pad(self, x: Tensor) -> Tensor:
        """Extend x (B, 3, H, W) to the sides the codec needs; `crop` undoes it."""
        return pad_to_multiple(x, self.facts.downsampling_factor)

    def crop(self, x_hat: Tensor, height: int, width: int) -> Tensor:
        """The height x width of x_hat that were the image before `pad`, whose other result has the sides of x_hat."""
        return x_hat[..., :height, :width]

    def padded_sides(self, height: int, width: int) -> tuple[int, int]:
        """The sides of what `pad` makes of an image of height x width."""
        factor = self.facts.downsampling_factor
        return -(-height // factor) * factor, -(-width // factor) * factor

    def coded_shape(self, height: int, width: int) -> tuple[int, int]:
        """The `Compressed.shape` of an image of height x width, sides as `pad` makes them."""
        factor = self.facts.downsampling_factor
        return height // factor, width // factor


class VariableRateCodec(Codec):
    """A codec whose one set of weights serves a range of rates.

    max_quality: the largest `quality`. A quality is a number in [0, max_quality], fractions included, and stands for
        lmbda: from the criterion's lmbda_min at 0 to its lmbda_max at max_quality, uniformly in log lmbda. The codec
        itself knows no lmbda.
    """

    max_quality: float

    def forward(self, x: Tensor, quality: float | Tensor | None = None) -> CodecOutput:
        """`Codec.forward` at one quality, or one per image (B,); None means max_quality.

        Raises ValueError for a quality outside [0, max_quality].
        """
        raise NotImplementedError

    def partial(self, x: Tensor, quality: float | Tensor | None = None, *, scales: int) -> Tensor:
        """`Codec.partial` at one quality, or one per image (B,); None means max_quality."""
        raise NotImplementedError

    def compress(self, x: Tensor, quality: float | None = None) -> Compressed:
        """`Codec.compress` at one quality; None means max_quality."""
        raise NotImplementedError


def decodes_partially(codec: Codec) -> bool:
    """Whether it defines `Codec.partial`."""
    return not any(type(codec).partial is kind.partial for kind in (Codec, VariableRateCodec))
