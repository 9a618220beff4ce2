"""The four transforms and the context model's networks, under the released models' keys."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from lic_exp.models.convolution import Pointwise
from lic_exp.models.hpcm.config import HPCMConfig, Layout
from lic_exp.models.hpcm.layers import Residual, depthwise_block, down, up

Named = tuple[str, list[nn.Module]]
"""A layer or a chain of blocks, and the name that it has in a staged layout."""


class Branch(nn.Module):
    """A sequence one level down."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.branch(x)
        return y


def analysis(config: HPCMConfig) -> nn.Module:
    """g_a: x (B, 3, 16 h, 16 w) -> y (B, M, h, w)."""
    stages: list[Named] = []
    before = 3
    for number, (width, depth) in enumerate(zip([*config.widths, config.M], config.analysis_depths, strict=True), 1):
        stages.append((f"g_a_down{number}", [down(before, width, config.pixel_kernel if number == 1 else 2)]))
        stages.append((f"g_a_chunk{number}", config.blocks(width, depth)))
        before = width
    return _laid_out(stages, config.layout)


def synthesis(config: HPCMConfig) -> nn.Module:
    """g_s: y_hat (B, M, h, w) -> x_hat (B, 3, 16 h, 16 w)."""
    stages: list[Named] = []
    widths = [3, *config.widths, config.M]
    for number in range(len(config.synthesis_depths), 0, -1):
        finer, width = widths[number - 1 : number + 1]
        stages.append((f"g_s_chunk{number}", config.blocks(width, config.synthesis_depths[number - 1])))
        stages.append((f"g_s_up{number}", [up(width, finer, config.pixel_kernel if number == 1 else 2)]))
    return _laid_out(stages, config.layout)


def hyper_analysis(config: HPCMConfig) -> nn.Module:
    """h_a: y (B, M, 4 h, 4 w) -> z (B, N, h, w)."""
    fine, coarse = config.hyper_depths
    layers = [*config.blocks(config.M, fine), down(config.M, config.hyper_width)]
    layers += [*config.blocks(config.hyper_width, coarse), down(config.hyper_width, config.N)]
    return _sequence(layers, config.layout)


def hyper_synthesis(config: HPCMConfig) -> nn.Module:
    """h_s: z_hat (B, N, h, w) -> scales and means of y (B, 2 M, 4 h, 4 w)."""
    fine, coarse = config.hyper_depths
    layers = [up(config.N, config.hyper_width), *config.blocks(config.hyper_width, coarse)]
    layers += [up(config.hyper_width, 2 * config.M), *config.blocks(2 * config.M, fine)]
    return _sequence(layers, config.layout)


def _sequence(layers: list[nn.Module], layout: Layout) -> nn.Module:
    return Branch(*layers) if layout == "branch" else nn.Sequential(*layers)


def _laid_out(stages: list[Named], layout: Layout) -> nn.Module:
    """All in one sequence, or a single layer per name and a sequence per chain."""
    if layout == "branch":
        return Branch(*(layer for _, layers in stages for layer in layers))
    named = ((name, layers[0] if "chunk" not in name else nn.Sequential(*layers)) for name, layers in stages)
    return nn.Sequential(OrderedDict(named))


class PriorNetwork(nn.Module):
    """t = B2(a B1(u)): context u (B, 3 M, h, w) -> scales and means (B, 2 M, h, w); a is (1, 3 M, 1, 1).

    depths: blocks before a, after it, and after the layer that leaves 2 M channels.
    """

    def __init__(self, M: int, depths: Sequence[int]) -> None:
        super().__init__()
        first, second, last = depths
        self.branch_1 = nn.Sequential(*(depthwise_block(3 * M) for _ in range(first)))
        second_half: list[nn.Module] = [depthwise_block(3 * M) for _ in range(second)]
        self.branch_2 = nn.Sequential(
            *second_half, Pointwise(3 * M, 2 * M), *(depthwise_block(2 * M) for _ in range(last))
        )

    def forward(self, u: Tensor, a: Tensor, shifts: Sequence[Tensor | None]) -> Tensor:
        """t; shifts: `shifts_for` of such features."""
        known = iter(shifts)
        for layer in self.branch_1:
            u = layer(u, next(known))
        t = u * a
        for layer in self.branch_2:
            t = layer(t, next(known)) if isinstance(layer, Residual) else layer(t)
        return t

    def shifts_for(self, x: Tensor) -> list[Tensor | None]:
        """Of each block, `Residual.shift_for` features such as x: once for all calls."""
        layers = (*self.branch_1, *self.branch_2)
        return [layer.shift_for(x) for layer in layers if isinstance(layer, Residual)]


def adaptors(M: int, count: int, depth: int) -> nn.ModuleList:
    """So many (B, 3 M, h, w) -> (B, 3 M, h, w): depthwise blocks, or one 1x1 convolution where depth is 0."""

    def made() -> nn.Module:
        if not depth:
            return Pointwise(3 * M, 3 * M)
        return nn.Sequential(*(depthwise_block(3 * M) for _ in range(depth)))

    return nn.ModuleList(made() for _ in range(count))
