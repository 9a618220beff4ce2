"""CompressAI's image codecs behind the codec contract.

State-dict keys are CompressAI's own, so its checkpoints load. Transforms and entropy models are CompressAI's;
the forward pass is written out here because the contract asks for the quantised latents, and for entropy models
that run in float32 under autocast.
"""

import warnings
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=".*torch.jit.*")
    from compressai import models as zoo
    from compressai.entropy_models import EntropyBottleneck, GaussianConditional
    from compressai.layers import MaskedConv2d
    from compressai.models.base import CompressionModel

from lic_exp.capabilities import CodecFacts, signed_as
from lic_exp.models import compressai_coding as coder
from lic_exp.models.base import Codec, CodecOutput, CodingPart, Compressed
from lic_exp.models.compressai_entropy import (
    Conditional,
    adopt_entropy_models,
    each_in_its_own_numbers,
    entropy_models_on_cpu,
    read_to_its_end,
    refusing_what_never_ends,
)
from lic_exp.models.portable import PortableMode, as_weights_of, near_lines
from lic_exp.models.rans import with_margin
from lic_exp.ops.precision import default_dtype, widened
from lic_exp.option_types import PositiveInt
from lic_exp.private_interfaces import serially_coded


def bits_of(likelihoods: Tensor) -> Tensor:
    """-log2 of probabilities, float32 or wider; CompressAI bounds them below by 1e-9."""
    return -torch.log2(widened(likelihoods))


class ZooCodec(Codec):
    """What the adapted models share. `latents` is (y_hat,): a hyper-latent is side information, not a scale."""

    zoo: ClassVar[type[CompressionModel]]
    portable: ClassVar[PortableMode | None] = PortableMode(predicting=("h_s.*",), margin=1e-9)
    string_kinds = 2
    coding_parts = (
        CodingPart("g_a", ("g_a",), encode=True, decode=False),
        CodingPart("h_a", ("h_a",), encode=True, decode=False),
        CodingPart("h_s", ("h_s",), encode=True, decode=True),
        CodingPart("context", ("context_prediction", "entropy_parameters"), encode=True, decode=True),
        CodingPart("g_s", ("g_s",), encode=False, decode=True),
        # Coding takes probabilities from tables; the density network behind them runs for the estimate alone.
        CodingPart("density", ("entropy_bottleneck", "gaussian_conditional"), encode=False, decode=False),
    )

    # The parts that CompressAI's constructors make.
    g_a: nn.Module
    g_s: nn.Module
    h_a: nn.Module
    h_s: nn.Module
    entropy_bottleneck: EntropyBottleneck
    gaussian_conditional: GaussianConditional
    context_prediction: MaskedConv2d
    entropy_parameters: nn.Module

    def __init__(self, **channels: int) -> None:
        super().__init__(**channels)
        adopt_entropy_models(self)

    def estimate(self, y: Tensor, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """y_hat and the likelihoods {"y", "z"} of the analysed image; all float32 or wider."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> CodecOutput:
        y = self.g_a(x)
        with torch.autocast(x.device.type, enabled=False):
            y_hat, likelihoods = self.estimate(widened(y), x)
        x_hat = widened(self.g_s(y_hat))
        return CodecOutput(x_hat, {name: bits_of(p) for name, p in likelihoods.items()}, (y_hat,))

    def compress(self, x: Tensor) -> Compressed:
        """`Codec.compress`. Raises CodingError for latents, scales or means that CompressAI's coder would hang on."""
        with refusing_what_never_ends(self) as latents, self._networks_apart():
            coded = self.zoo.compress(self, x)
        return Compressed(coded["strings"], tuple(coded["shape"]), state=x if near_lines() is None else latents[-1])

    def decompress(self, compressed: Compressed) -> Tensor:
        """`Codec.decompress`. Raises CodingError for scales or means that are not finite, and for strings of others."""
        with refusing_what_never_ends(self), self._networks_apart():
            decoded: Tensor = self.zoo.decompress(self, self._readable(compressed), compressed.shape)["x_hat"]
        return decoded

    def _readable(self, compressed: Compressed) -> list[Iterable[bytes]]:
        """The strings as what reads them takes them: the entropy models look where they end."""
        return list(compressed.strings)

    def reconstruct(self, compressed: Compressed) -> Tensor:
        if compressed.near_lines is not None:
            decoded: Tensor = self.g_s(as_weights_of(self.g_s, compressed.state))
            return decoded.clamp(0, 1)
        output: CodecOutput = self(compressed.state)
        return output.x_hat.clamp(0, 1)

    def _networks_apart(self) -> AbstractContextManager[None]:
        """For coding portably: h_s has numbers of its own then."""
        networks = (self.h_s, self.g_s) if hasattr(self, "h_s") else (self.g_s,)
        return nullcontext() if near_lines() is None else each_in_its_own_numbers(*networks)

    def update(self, force: bool = True) -> None:
        """`Codec.update`. Raises CodingError where quantiles are not finite or too far apart for tables."""
        low, median, high = self.entropy_bottleneck.quantiles.detach()[:, 0].unbind(1)
        below, above = (median - low).ceil().clamp(min=0), (high - median).ceil().clamp(min=0)  # as CompressAI has it
        coder.check_ranges(below + above + 1, "entropy_bottleneck.quantiles")
        with entropy_models_on_cpu(self):
            self.zoo.update(self, force=force)

    def aux_loss(self) -> Tensor:
        loss: Tensor = self.zoo.aux_loss(self)
        return loss

    def complete_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """With the names of CompressAI 1.0 to 1.2.4 in those of today, as CompressAI itself renames them; says so."""
        bottlenecks = [name for name, module in self.named_modules() if isinstance(module, EntropyBottleneck)]
        return coder.with_names_of_today(weights, self.state_dict().keys(), bottlenecks)


@signed_as("factorized")
class Factorized(ZooCodec, zoo.FactorizedPrior):
    """Factorized prior of Balle, Minnen, Singh, Hwang, Johnston, "Variational image compression with a scale
    hyperprior", ICLR 2018 (CompressAI's bmshj2018-factorized).

        x -> g_a -> y -> Q -> y_hat -> g_s -> x_hat

    N: channels of the transforms. M: channels of y.
    """

    zoo = zoo.FactorizedPrior
    string_kinds = 1
    facts = CodecFacts(downsampling_factor=16, latents=1, dtypes=("float32", "float64"))

    def __init__(self, *, N: PositiveInt, M: PositiveInt) -> None:
        super().__init__(N=N, M=M)

    def estimate(self, y: Tensor, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        y_hat, y_likelihoods = self.entropy_bottleneck(y)
        return y_hat, {"y": y_likelihoods}


@signed_as("hyperprior")
class Hyperprior(ZooCodec, zoo.ScaleHyperprior):
    """Scale hyperprior of the same paper (CompressAI's bmshj2018-hyperprior).

        x -> g_a -> y -> Q -> y_hat -> g_s -> x_hat
                    |y| -> h_a -> z -> Q -> h_s -> scales of y

    N: channels of the transforms. M: channels of y.
    """

    zoo = zoo.ScaleHyperprior
    facts = CodecFacts(downsampling_factor=64, latents=1, dtypes=("float32", "float64"))

    def __init__(self, *, N: PositiveInt, M: PositiveInt) -> None:
        super().__init__(N=N, M=M)

    def estimate(self, y: Tensor, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        z_hat, z_likelihoods = self.entropy_bottleneck(self.h_a(torch.abs(y)))
        y_hat, y_likelihoods = self.gaussian_conditional(y, self.h_s(z_hat))
        return y_hat, {"y": y_likelihoods, "z": z_likelihoods}


@signed_as("mean_scale_hyperprior")
class MeanScaleHyperprior(ZooCodec, zoo.MeanScaleHyperprior):
    """Mean-scale hyperprior without context of Minnen, Balle, Toderici, "Joint autoregressive and hierarchical
    priors for learned image compression", NeurIPS 2018 (CompressAI's mbt2018-mean).

        x -> g_a -> y -> Q(y - mean) -> y_hat -> g_s -> x_hat
                    y -> h_a -> z -> Q -> h_s -> scales, means of y

    N: channels of the transforms. M: channels of y.
    """

    zoo = zoo.MeanScaleHyperprior
    facts = CodecFacts(downsampling_factor=64, latents=1, dtypes=("float32", "float64"))

    def __init__(self, *, N: PositiveInt, M: PositiveInt) -> None:
        super().__init__(N=N, M=M)

    def estimate(self, y: Tensor, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        z_hat, z_likelihoods = self.entropy_bottleneck(self.h_a(y))
        scales, means = self.h_s(z_hat).chunk(2, 1)
        y_hat, y_likelihoods = self.gaussian_conditional(y, scales, means=means)
        return y_hat, {"y": y_likelihoods, "z": z_likelihoods}


class AutoregressiveCodec(ZooCodec):
    """Models with a serial context: coding visits the positions of y one by one on the CPU.

    CompressAI's forward pass rounds y itself in eval mode, while its coder rounds y minus the predicted mean, so the
    estimate and the decoded image differ slightly; `reconstruct` therefore uses the y_hat that the coder has made.
    """

    codes_on_cpu = True
    M: int
    portable = None

    def estimate(self, y: Tensor, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        z_hat, z_likelihoods = self.entropy_bottleneck(self.h_a(y))
        y_hat = self.gaussian_conditional.quantize(y, "noise" if self.training else "dequantize")
        context = torch.cat((self.h_s(z_hat), self.context_prediction(y_hat)), dim=1)
        scales, means = self.entropy_parameters(context).chunk(2, 1)
        _, y_likelihoods = self.gaussian_conditional(y, scales, means=means)
        return y_hat, {"y": y_likelihoods, "z": z_likelihoods}

    def compress(self, x: Tensor) -> Compressed:
        with refusing_what_never_ends(self), serially_coded(self) as images:
            coded = self.zoo.compress(self, x)
        y_hat = torch.cat([F.pad(padded, (-padding,) * 4) for padded, padding in images])
        return Compressed(coded["strings"], tuple(coded["shape"]), state=y_hat)

    def decompress(self, compressed: Compressed) -> Tensor:
        # CompressAI's decoder relies on a forward pass to have masked what the last update has written.
        weight = self.context_prediction.weight
        weight.data.mul_(self.context_prediction.mask)
        (y_string,) = compressed.strings[0]
        assert isinstance(self.gaussian_conditional, Conditional)
        with default_dtype(weight.dtype), read_to_its_end(self.gaussian_conditional, y_string):
            return super().decompress(compressed)

    def _readable(self, compressed: Compressed) -> list[Iterable[bytes]]:
        """Those of y with a margin, for a loop of CompressAI's reads them; made only when z was found to be right."""
        height, width = compressed.shape
        # z has a stride that divides the codec's factor, y of 16.
        positions = (self.facts.downsampling_factor // 16) ** 2 * height * width
        y, z = compressed.strings
        return [(with_margin(string, positions * self.M) for string in y), z]

    def reconstruct(self, compressed: Compressed) -> Tensor:
        x_hat: Tensor = self.g_s(compressed.state)
        return x_hat.clamp(0, 1)


@signed_as("joint_autoregressive")
class JointAutoregressive(AutoregressiveCodec, zoo.JointAutoregressiveHierarchicalPriors):
    """Mean-scale hyperprior with an autoregressive context of Minnen, Balle, Toderici, NeurIPS 2018 (mbt2018).

    N: channels of the transforms. M: channels of y.
    """

    zoo = zoo.JointAutoregressiveHierarchicalPriors
    facts = CodecFacts(downsampling_factor=64, latents=1, dtypes=("float32", "float64"))

    def __init__(self, *, N: PositiveInt, M: PositiveInt) -> None:
        super().__init__(N=N, M=M)


@signed_as("cheng2020_anchor")
class Cheng2020Anchor(AutoregressiveCodec, zoo.Cheng2020Anchor):
    """Residual blocks and sub-pixel upsampling of Cheng, Sun, Takeuchi, Katto, "Learned image compression with
    discretized Gaussian mixture likelihoods and attention modules", CVPR 2020, with one Gaussian (cheng2020-anchor).

    N: channels of the transforms and of y.
    """

    zoo = zoo.Cheng2020Anchor
    facts = CodecFacts(downsampling_factor=64, latents=1, dtypes=("float32", "float64"))

    def __init__(self, *, N: PositiveInt) -> None:
        super().__init__(N=N)


@signed_as("cheng2020_attention")
class Cheng2020Attention(AutoregressiveCodec, zoo.Cheng2020Attention):
    """`Cheng2020Anchor` with the paper's attention modules (cheng2020-attn).

    N: channels of the transforms and of y.
    """

    zoo = zoo.Cheng2020Attention
    facts = CodecFacts(downsampling_factor=64, latents=1, dtypes=("float32", "float64"))

    def __init__(self, *, N: PositiveInt) -> None:
        super().__init__(N=N)
