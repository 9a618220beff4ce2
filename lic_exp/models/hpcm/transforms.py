"""The four transforms and the context model's networks, under the released models' keys."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from lic_exp.models.hpcm.layers import depthwise_block, down, up
from lic_exp.models.hpcm.shape import Layout, Shape

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


def analysis(shape: Shape) -> nn.Module:
    """g_a: x (B, 3, 16 h, 16 w) -> y (B, M, h, w)."""
    stages: list[Named] = []
    before = 3
    for number, (width, depth) in enumerate(zip([*shape.widths, shape.M], shape.analysis_depths, strict=True), 1):
        stages.append((f"g_a_down{number}", [down(before, width, shape.pixel_kernel if number == 1 else 2)]))
        stages.append((f"g_a_chunk{number}", shape.blocks(width, depth)))
        before = width
    return _laid_out(stages, shape.layout)


def synthesis(shape: Shape) -> nn.Module:
    """g_s: y_hat (B, M, h, w) -> x_hat (B, 3, 16 h, 16 w)."""
    stages: list[Named] = []
    widths = [3, *shape.widths, shape.M]
    for number in range(len(shape.synthesis_depths), 0, -1):
        finer, width = widths[number - 1 : number + 1]
        stages.append((f"g_s_chunk{number}", shape.blocks(width, shape.synthesis_depths[number - 1])))
        stages.append((f"g_s_up{number}", [up(width, finer, shape.pixel_kernel if number == 1 else 2)]))
    return _laid_out(stages, shape.layout)


def hyper_analysis(shape: Shape) -> nn.Module:
    """h_a: y (B, M, 4 h, 4 w) -> z (B, N, h, w)."""
    fine, coarse = shape.hyper_depths
    layers = [*shape.blocks(shape.M, fine), down(shape.M, shape.hyper_width)]
    layers += [*shape.blocks(shape.hyper_width, coarse), down(shape.hyper_width, shape.N)]
    return _sequence(layers, shape.layout)


def hyper_synthesis(shape: Shape) -> nn.Module:
    """h_s: z_hat (B, N, h, w) -> scales and means of y (B, 2 M, 4 h, 4 w)."""
    fine, coarse = shape.hyper_depths
    layers = [up(shape.N, shape.hyper_width), *shape.blocks(shape.hyper_width, coarse)]
    layers += [up(shape.hyper_width, 2 * shape.M), *shape.blocks(2 * shape.M, fine)]
    return _sequence(layers, shape.layout)


def _sequence(layers: list[nn.Module], layout: Layout) -> nn.Module:
    return Branch(*layers) if layout == "branch" else nn.Sequential(*layers)


def _laid_out(stages: list[Named], layout: Layout) -> nn.Module:
    """All in one sequence, or a single layer per name and a sequence per chain."""
    if layout == "branch":
        return Branch(*(layer for _, layers in stages for layer in layers))
    named = ((name, layers[0] if "chunk" not in name else nn.Sequential(*layers)) for name, layers in stages)
    return nn.Sequential(OrderedDict(named))


class Prior(nn.Module):
    """t = B2(a B1(u)): context u (B, 3 M, h, w) -> scales and means (B, 2 M, h, w); a is (1, 3 M, 1, 1).

    depths: blocks before a, after it, and after the layer that leaves 2 M channels.
    """

    def __init__(self, M: int, depths: Sequence[int]) -> None:
        super().__init__()
        first, second, last = depths
        self.branch_1 = nn.Sequential(*(depthwise_block(3 * M) for _ in range(first)))
        second_half: list[nn.Module] = [depthwise_block(3 * M) for _ in range(second)]
        self.branch_2 = nn.Sequential(
            *second_half, nn.Conv2d(3 * M, 2 * M, 1), *(depthwise_block(2 * M) for _ in range(last))
        )

    def forward(self, u: Tensor, a: Tensor) -> Tensor:
        t: Tensor = self.branch_2(self.branch_1(u) * a)
        return t


def adaptors(M: int, count: int, depth: int) -> nn.ModuleList:
    """So many (B, 3 M, h, w) -> (B, 3 M, h, w): depthwise blocks, or one 1x1 convolution where depth is 0."""

    def made() -> nn.Module:
        if not depth:
            return nn.Conv2d(3 * M, 3 * M, 1)
        return nn.Sequential(*(depthwise_block(3 * M) for _ in range(depth)))

    return nn.ModuleList(made() for _ in range(count))
