"""The context model: eleven steps over three scales, each predicting what the next one codes."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lic_exp.models.convolution import Pointwise
from lic_exp.models.hpcm.attention import WindowAttention
from lic_exp.models.hpcm.coding import Step
from lic_exp.models.hpcm.config import HPCMConfig
from lic_exp.models.hpcm.partition import FIRST_PREDICTED, Partition, chosen, move
from lic_exp.models.hpcm.transforms import PriorNetwork, adaptors
from lic_exp.models.portable import PortableMode
from lic_exp.ops.precision import widened

CALLS = (1, 3, 6)
"""By scale, how often the context model is asked: for every step but the very first, which the hyperprior gives."""


class Walk(NamedTuple):
    """What the eleven steps leave.

    params (B, 2 M, H, W): every symbol's scale and mean, as its step had them. latents: y_hat at s1, s2, s3.
    """

    params: Tensor
    latents: tuple[Tensor, Tensor, Tensor]


PORTABLE = PortableMode(
    predicting=("means_hyper", "h_s.*", "y_spatial_prior_*", "attn_s*", "context_net.*", "adaptive_params_list.*"),
    margin=1e-9,
)


class ContextModel(nn.Module):
    """The part of the codec that predicts; a base class, because its modules have keys of the codec's own level."""

    compat: bool

    def portable_mode(self) -> PortableMode:
        """`lic_exp.models.base.Codec.portable_mode`. Raises ValueError under compat."""
        if self.compat:
            name = type(self).__name__
            raise ValueError(f"{name} has no portable mode under compat: true, which codes as the released models do")
        return PORTABLE

    def add_context(self, config: HPCMConfig) -> None:
        """Add the modules."""
        M, heads = config.M, config.attention_heads
        for scale, (count, depth) in enumerate(zip(CALLS, config.adaptor_depths, strict=True), 1):
            self.add_module(f"y_spatial_prior_adaptor_list_s{scale}", adaptors(M, count, depth))
        self.y_spatial_prior_s1_s2 = PriorNetwork(M, config.prior_s1_s2_depths)
        self.y_spatial_prior_s3 = PriorNetwork(M, config.prior_s3_depths)
        self.adaptive_params_list = nn.ParameterList(torch.ones(1, 3 * M, 1, 1) for _ in range(sum(CALLS)))
        if heads:
            for scale, window in enumerate(config.attention_windows, 1):
                self.add_module(f"attn_s{scale}", WindowAttention(2 * M, heads, window))
        self.context_net = nn.ModuleList(Pointwise(2 * M, 2 * M) for _ in range(2))

    def walk(self, params: Tensor, grid: Partition, step: Step) -> Walk:
        """All steps in coding order, the same for an estimate, an encoder and a decoder."""
        height, width = params.shape[-2:]
        context = move(params, grid.to_s1, height // 4, width // 4, 2)
        decided = widened(context)
        first = grid.steps[0][0]
        y_hat = chosen(first, step(0, first, *decided.chunk(2, 1)), 0.0)
        latents = []
        shifts = self.y_spatial_prior_s1_s2.shifts_for(context), self.y_spatial_prior_s3.shifts_for(context)
        calls = iter(self.adaptive_params_list)
        for scale, masks in enumerate(grid.steps):
            sides = height >> 2 - scale, width >> 2 - scale
            if scale:
                up = (grid.s1_to_s2, grid.s2_to_s3)[scale - 1]
                decided, y_hat = move(decided, up, *sides, 2), move(y_hat, up, *sides)
                more = move(params, grid.hyper_to_s2, *sides, 2) if scale == 1 else _outside(params, masks)
                context = self.context_net[scale - 1](move(context, up, *sides, 2) + more)
            for call, mask in enumerate(masks[FIRST_PREDICTED[scale] :]):
                # By a number: torch 2.11 cannot trace a tuple that is asked for by a truth.
                t = self._predicted(scale, call, context, y_hat, next(calls), shifts[int(scale == 2)])
                if (scale, call) != (2, CALLS[2] - 1):
                    context = self._next(scale, t, context)
                t = widened(t)
                decided = chosen(mask, t, decided, 2)
                y_hat = chosen(mask, step(scale, mask, *t.chunk(2, 1)), y_hat)
            latents.append(y_hat)
        return Walk(decided, tuple(latents))  # type: ignore[arg-type]

    def _predicted(
        self, scale: int, call: int, context: Tensor, y_hat: Tensor, gain: Tensor, shifts: Sequence[Tensor | None]
    ) -> Tensor:
        """The prediction t (B, 2 M, h, w) of a scale's call, counted from 0."""
        adaptor_list = self.get_submodule(f"y_spatial_prior_adaptor_list_s{scale + 1}")
        assert isinstance(adaptor_list, nn.ModuleList)
        prior = self.y_spatial_prior_s3 if scale == 2 else self.y_spatial_prior_s1_s2
        # The released models count from -1: the last adaptor is asked first.
        adaptor = adaptor_list[call - 1]
        if isinstance(adaptor, Pointwise):  # under autocast y_hat is wider, and a product narrows it anyway
            y_hat = y_hat.to(context.dtype)
        both = (part.contiguous(memory_format=torch.channels_last) for part in (context, y_hat))
        known = torch.cat(tuple(both), 1).contiguous(memory_format=torch.channels_last)
        t: Tensor = prior(adaptor(known), gain, shifts)
        return t

    def _next(self, scale: int, t: Tensor, context: Tensor) -> Tensor:
        attention = getattr(self, f"attn_s{scale + 1}", None)
        return t if attention is None else attention(t, context)


def _outside(params: Tensor, masks: Tensor) -> Tensor:
    """Zeros where s2 has said it, params (B, 2 M, H, W) elsewhere."""
    return chosen(masks[0] | masks[1], torch.zeros_like(params), params, 2)
