"""HPCM written down as its specification says it, without any thought of speed: what ours is tested and timed against.

Boolean masks of the latent's full size made at every call, gathering and scattering by them, lists of steps that are
stacked and summed, scales compared with the whole table, attention by explicit products. It shares no code with
`lic_exp.models.hpcm` and reads its graph from the keys of the weights.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

S2_IN_S3 = [(0, 0), (1, 1), (0, 1), (1, 0)] * 2
S1_IN_S3 = [(0, 0), (1, 1), (0, 3), (1, 2), (2, 0), (3, 1), (2, 3), (3, 2)]
MISTAKEN_S1_IN_S3 = [(0, 0), (1, 1), (0, 1), (1, 0), (0, 2), (1, 3), (0, 3), (1, 2)]
TWO = [[[0, 1], [1, 0]], [[1, 0], [0, 1]]]
FOUR = [[[0, 3], [2, 1]], [[3, 0], [1, 2]], [[2, 1], [0, 3]], [[1, 2], [3, 0]]]
PATTERNS = ["00 22", "02 20", "11 33", "13 31", "01 23", "03 21", "10 32", "12 30"]
SHAPE = 1.5

Coder = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""From the number of channel groups, a step's mask, its scales and the symbols of its y to the symbols that it gets."""


class Coded(NamedTuple):
    """What the steps of one scale leave, each (B, C, h, w): y - mean, its rounding, value and scale of every symbol."""

    residual: Tensor
    q: Tensor
    y_hat: Tensor
    scale: Tensor

    @staticmethod
    def summed(steps: list["Coded"]) -> "Coded":
        return Coded(*(torch.stack(parts).sum(0) for parts in zip(*steps, strict=True)))


class Output(NamedTuple):
    """likelihoods: of y and z. latents: y_hat at s1, s2, s3. q, scale: of every symbol of y."""

    x_hat: Tensor
    y_likelihood: Tensor
    z_likelihood: Tensor
    latents: list[Tensor]
    q: Tensor
    scale: Tensor


def eight_part() -> list[list[list[int]]]:
    """The 4x4 tile of step numbers of every channel group."""
    tiles = [[[0] * 4 for _ in range(4)] for _ in range(8)]
    for m in range(4):
        evens, odds = ([(start + 2 * (k + m)) % 8 for k in range(4)] for start in (0, 1))
        for step, patterns in ((2 * m, evens + odds), (2 * m + 1, odds + evens)):
            for group, pattern in enumerate(patterns):
                for row, column in PATTERNS[pattern].split():
                    tiles[group][int(row)][int(column)] = step
    return tiles


class PlainHPCM:
    """A codec of the given weights {key: tensor}, those of a `lic_exp.models.hpcm.codec.HPCM`.

    heads: of attention, None for none. windows: its three window sides. compat: the released models' faults. inplace:
    of the activations. noise: drawn for the rate in training.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        heads: int | None,
        windows: list[int],
        *,
        compat: bool,
        training: bool = False,
        inplace: bool = False,
        noise: Callable[[Tensor], Tensor] = lambda like: torch.rand_like(like) - 0.5,
    ) -> None:
        self.w, self.heads, self.windows = weights, heads, windows
        self.compat, self.training, self.inplace, self.noise = compat, training, inplace, noise

    def forward(self, x: Tensor) -> Output:
        y = self.transform("g_a", x, up=False)
        z = self.transform("h_a", y, up=False)
        residual = z - self.w["means_hyper"]
        params = self.transform("h_s", self.rounded(residual) + self.w["means_hyper"], up=True)
        coded, latents = self.walk(y, params)
        x_hat = self.transform("g_s", coded.y_hat, up=True)
        z_v = residual + self.noise(residual) if self.training else residual.round()
        y_v = coded.residual + self.noise(coded.residual) if self.training else coded.residual.round()
        z_likelihood = self.likelihood(z_v, self.w["scales_hyper"].expand_as(z))
        return Output(x_hat, self.likelihood(y_v, coded.scale), z_likelihood, latents, coded.q, coded.scale)

    def encode(self, x: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Symbols (n,) of y in coding order, the rows (n,) of the table of scales that they are coded by, and z_hat."""
        y = self.transform("g_a", x, up=False)
        z = self.transform("h_a", y, up=False)
        z_hat = self.rounded(z - self.w["means_hyper"]) + self.w["means_hyper"]
        coded: list[tuple[Tensor, Tensor]] = []

        def write(parts: int, mask: Tensor, scale: Tensor, q: Tensor) -> Tensor:
            coded.append((packed(q * mask, parts).flatten(), table_rows(packed(scale * mask, parts), table).flatten()))
            return q

        self.walk(y, self.transform("h_s", z_hat, up=True), write)
        symbols, rows = (torch.cat(parts) for parts in zip(*coded, strict=True))
        return symbols, rows, z_hat

    def decode(self, next_symbols: Callable[[Tensor], Tensor], z_hat: Tensor, table: Tensor) -> Tensor:
        """x_hat from z_hat and a function from table rows (n,) to the next n symbols."""
        params = self.transform("h_s", z_hat, up=True)
        nothing = torch.zeros_like(params[:, : params.shape[1] // 2])

        def read(parts: int, mask: Tensor, scale: Tensor, q: Tensor) -> Tensor:
            rows = table_rows(packed(scale * mask, parts), table)
            symbols = next_symbols(rows.flatten()).view(rows.shape).to(scale)
            return symbols.repeat(1, parts, 1, 1)

        coded, _ = self.walk(nothing, params, read)
        return self.transform("g_s", coded.y_hat, up=True).clamp(0, 1)

    def transform(self, name: str, x: Tensor, *, up: bool) -> Tensor:
        if f"{name}.branch.0.weight" in self.w or f"{name}.branch.1.weight" in self.w:
            return self.sequence(f"{name}.branch", x, up=up)
        if f"{name}.{name}_down1.weight" in self.w:
            for number in range(1, 5):
                x = self.layer(f"{name}.{name}_down{number}", x, up=False)
                x = self.sequence(f"{name}.{name}_chunk{number}", x, up=False)
            return x
        if f"{name}.{name}_up1.weight" in self.w:
            for number in range(4, 0, -1):
                x = self.sequence(f"{name}.{name}_chunk{number}", x, up=True)
                x = self.layer(f"{name}.{name}_up{number}", x, up=True)
            return x
        return self.sequence(name, x, up=up)

    def sequence(self, prefix: str, x: Tensor, *, up: bool = False) -> Tensor:
        for number in range(100):
            name = f"{prefix}.{number}"
            if f"{name}.branch.1.weight" in self.w:
                x = self.residual_block(name, x)
            elif f"{name}.weight" in self.w:
                x = self.layer(name, x, up=up)
            else:
                return x
        raise AssertionError

    def layer(self, name: str, x: Tensor, *, up: bool) -> Tensor:
        weight, bias = self.w[f"{name}.weight"], self.w[f"{name}.bias"]
        side = weight.shape[-1]
        if side == 1:
            return F.conv2d(x, weight, bias)
        apply = F.conv_transpose2d if up else F.conv2d
        return apply(x, weight, bias, stride=2, padding=(side - 2) // 2)

    def residual_block(self, name: str, x: Tensor) -> Tensor:
        if f"{name}.branch.0.pconv.weight" in self.w:
            weight = self.w[f"{name}.branch.0.pconv.weight"]
            first, rest = x.split([len(weight), x.shape[1] - len(weight)], 1)
            first = F.conv2d(first, weight, self.w[f"{name}.branch.0.pconv.bias"], padding=1)
            mixed = torch.cat((first, rest), 1)
        else:
            weight, bias = self.w[f"{name}.branch.0.weight"], self.w[f"{name}.branch.0.bias"]
            mixed = F.conv2d(x, weight, bias, padding=1, groups=x.shape[1])
        hidden = F.leaky_relu(self.layer(f"{name}.branch.1", mixed, up=False), 0.01, self.inplace)
        return x + self.layer(f"{name}.branch.3", hidden, up=False)

    def rounded(self, x: Tensor) -> Tensor:
        return (x.round() - x).detach() + x if self.training else x.round()

    def walk(self, y: Tensor, params: Tensor, coder: Coder | None = None) -> tuple[Coded, list[Tensor]]:
        S, U = params.chunk(2, 1)
        y_s2 = self.gather(y, self.phases(y, S2_IN_S3, 2))
        y_s1 = self.gather(y, self.phases(y, S1_IN_S3, 4))
        s, u = (self.gather(t, self.phases(t, S1_IN_S3, 4)) for t in (S, U))
        context = torch.cat((s, u), 1)
        steps = [self.step(y_s1, s, u, TWO, 0, coder)]
        t = self.prior("s1", 0, 0, context, steps)
        context = self.attend("attn_s1", 0, t, context)
        steps.append(self.step(y_s1, *t.chunk(2, 1), TWO, 1, coder))
        latents = [Coded.summed(steps).y_hat]

        in_s2 = self.s1_in_s2(y_s2)
        steps = [Coded(*(self.scatter(part, in_s2) for part in Coded.summed(steps)))]
        context = torch.cat([self.scatter(half, in_s2) for half in context.chunk(2, 1)], 1)
        context = context + torch.cat([self.hyper_at_s2(half) for half in (S, U)], 1)
        context = F.conv2d(context, self.w["context_net.0.weight"], self.w["context_net.0.bias"])
        for i in range(3):
            t = self.prior("s2", i, 1 + i, context, steps)
            context = self.attend("attn_s2", 1, t, context)
            steps.append(self.step(y_s2, *t.chunk(2, 1), FOUR, 1 + i, coder))
        latents.append(Coded.summed(steps).y_hat)

        in_s3 = self.phases(y, S2_IN_S3, 2)
        steps = [Coded(*(self.scatter(part, in_s3) for part in Coded.summed(steps)))]
        context = torch.cat([self.scatter(half, in_s3) for half in context.chunk(2, 1)], 1)
        known = self.mask(S, eight_part(), 0) + self.mask(S, eight_part(), 1)
        context = context + torch.cat([half * (1 - known) for half in (S, U)], 1)
        context = F.conv2d(context, self.w["context_net.1.weight"], self.w["context_net.1.bias"])
        for i in range(6):
            t = self.prior("s3", i, 4 + i, context, steps)
            context = self.attend("attn_s3", 2, t, context)
            steps.append(self.step(y, *t.chunk(2, 1), eight_part(), 2 + i, coder))
        coded = Coded.summed(steps)
        return coded, [*latents, coded.y_hat]

    def step(self, y: Tensor, scale: Tensor, mean: Tensor, tiles: list, step: int, coder: Coder | None) -> Coded:
        mask = self.mask(y, tiles, step)
        mean = mean * mask
        residual = (y - mean) * mask
        q = self.rounded(residual)
        if coder is not None:
            q = coder(len(tiles), mask, scale, q) * mask
        return Coded(residual, q, q + mean, scale * mask)

    def prior(self, scale: str, call: int, gain: int, context: Tensor, steps: list[Coded]) -> Tensor:
        count = {"s1": 1, "s2": 3, "s3": 6}[scale]
        known = torch.cat((context, Coded.summed(steps).y_hat), 1)
        name = f"y_spatial_prior_adaptor_list_{scale}.{(call - 1) % count}"
        single = f"{name}.weight" in self.w
        u = self.layer(name, known, up=False) if single else self.sequence(name, known)
        name = "y_spatial_prior_s3" if scale == "s3" else "y_spatial_prior_s1_s2"
        u = self.sequence(f"{name}.branch_1", u) * self.w[f"adaptive_params_list.{gain}"]
        return self.sequence(f"{name}.branch_2", u)

    def attend(self, name: str, scale: int, x: Tensor, previous: Tensor) -> Tensor:
        if self.heads is None:
            return x
        P, (batch, channels, height, width) = self.windows[scale], x.shape
        q, k, v = (
            self.layer(f"{name}.conv_{part}", source, up=False)
            .view(batch, self.heads, channels // self.heads, height // P, P, width // P, P)
            .permute(0, 3, 5, 1, 4, 6, 2)
            .reshape(batch, height // P, width // P, self.heads, P * P, -1)
            for part, source in (("q", x), ("k", previous), ("v", previous))
        )
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(channels / self.heads), -1)
        found = (weights @ v).view(batch, height // P, width // P, self.heads, P, P, -1)
        found = found.permute(0, 3, 6, 1, 4, 2, 5).reshape(x.shape)
        return found + self.layer(f"{name}.conv_out", x, up=False)

    def mask(self, like: Tensor, tiles: list[list[list[int]]], step: int) -> Tensor:
        """1 where the step codes, of the shape of `like`."""
        batch, channels, height, width = like.shape
        tile = (torch.tensor(tiles, device=like.device) == step).to(like)
        side = tile.shape[-1]
        tile = tile.repeat_interleave(channels // len(tiles), 0).repeat(1, height // side, width // side)
        return tile.expand(batch, -1, -1, -1)

    def phases(self, like: Tensor, phases: list[tuple[int, int]], period: int) -> Tensor:
        """True at every eighth of the channels' own phase."""
        mask = torch.zeros_like(like, dtype=torch.bool)
        size = like.shape[1] // 8
        for group, (row, column) in enumerate(phases):
            mask[:, group * size : (group + 1) * size, row::period, column::period] = True
        return mask

    def s1_in_s2(self, like: Tensor) -> Tensor:
        """The same for s1 in the grid of s2: where the mask of the four-part steps is 0."""
        return self.mask(like, FOUR, 0).bool()

    def gather(self, t: Tensor, mask: Tensor) -> Tensor:
        count = int(mask[0, 0].sum())
        width = round(math.sqrt(count * t.shape[-1] / t.shape[-2]))
        return t[mask].view(*t.shape[:2], count // width, width)

    def scatter(self, t: Tensor, mask: Tensor) -> Tensor:
        out = torch.zeros(mask.shape, dtype=t.dtype, device=t.device)
        out[mask] = t.flatten()
        return out

    def hyper_at_s2(self, t: Tensor) -> Tensor:
        """What s2 gets of the hyperprior beside what s1 knows."""
        wrong = MISTAKEN_S1_IN_S3 if self.compat else S1_IN_S3
        source = self.phases(t, S2_IN_S3, 2) & ~self.phases(t, wrong, 4)
        half = t.new_zeros(*t.shape[:2], t.shape[-2] // 2, t.shape[-1] // 2)
        half[~self.s1_in_s2(half)] = t[source]
        return half

    def likelihood(self, v: Tensor, scale: Tensor) -> Tensor:
        """By distribution functions on both sides of v, in the dtype of v."""
        scale = bounded(scale, 0.12)
        upper, lower = (v + 0.5) / scale, (v - 0.5) / scale
        return bounded(distribution(upper) - distribution(lower), 1e-9)


def packed(x: Tensor, parts: int) -> Tensor:
    """The sum of so many groups of neighbouring channels."""
    return x.view(len(x), parts, -1, *x.shape[-2:]).sum(1)


def table_rows(scale: Tensor, table: Tensor) -> Tensor:
    """The first row whose scale is no smaller, or the last."""
    return (scale.unsqueeze(-1) > table[:-1]).sum(-1)


class _Bounded(torch.autograd.Function):
    """CompressAI's lower bound: a gradient whose descent leads back inside passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: Tensor) -> Tensor:
        ctx.save_for_backward(x, bound)
        return torch.max(x, bound)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        x, bound = ctx.saved_tensors
        return gradients[0] * ((x >= bound) | (gradients[0] < 0)), None


def bounded(x: Tensor, bound: float) -> Tensor:
    """max(x, bound), the bound rounded to float32."""
    result: Tensor = _Bounded.apply(x, torch.tensor([bound], device=x.device).to(x))
    return result


class _Distribution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, t: Tensor) -> Tensor:
        ctx.save_for_backward(t)
        a = torch.full_like(t, 1 / SHAPE)
        return (1 + t.sign() * torch.special.gammainc(a, t.abs() ** SHAPE)) / 2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (t,) = ctx.saved_tensors
        return gradients[0] * SHAPE / (2 * math.gamma(1 / SHAPE)) * torch.exp(-(t.abs() ** SHAPE))


def distribution(t: Tensor) -> Tensor:
    """The generalised Gaussian's of scale 1."""
    result: Tensor = _Distribution.apply(t)
    return result
