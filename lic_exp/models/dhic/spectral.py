"""Weights that start as a transform codec instead of at random.

"ends": the layers next to the pixels are the lowest colour x 8x8-DCT atoms. "pyramid": so they are, and all between
passes features on, so that every latent is the residual of what the coarser ones have said, as in the Laplacian pyramid
of Burt and Adelson (IEEE Trans. Communications 31(4), 1983): a codec already, whose coarse latents carry something. At
random they carry nothing in a short training, because the finest one learns first to say it all.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lic_exp.models.dhic.blocks import FFN, BaseBlock
from lic_exp.models.dhic.latent import LatentBlock
from lic_exp.models.dhic.network import FINEST_STRIDE, PIXELS, Merge
from lic_exp.ops.dct import dct_matrix

OPPONENT = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (-1.0, 2.0, -1.0))
"""Directions of colour: luma, orange against blue, green against magenta. Orthogonal; made unit vectors below."""


def atoms() -> Tensor:
    """Orthonormal rows (192, 192) over channels as pixel-unshuffle 8 orders them, lowest frequency first; float64.

    A chroma atom ranks with luma atoms of twice its frequency, about where natural images have as much energy.
    """
    P = dct_matrix(FINEST_STRIDE, torch.float64, torch.device("cpu"))
    colours = torch.nn.functional.normalize(torch.tensor(OPPONENT, dtype=torch.float64, device="cpu"))
    products = torch.einsum("kc,ui,vj->kuvcij", colours, P, P).reshape(PIXELS, PIXELS)
    u = torch.arange(FINEST_STRIDE, dtype=torch.float64, device="cpu")
    radius = torch.sqrt(u[:, None] ** 2 + u**2)
    ranks = torch.stack((radius, 2 * radius + 1, 2 * radius + 1)).flatten()
    return products[ranks.argsort(stable=True)]


@torch.no_grad()
def start_as_transform(analysis: nn.Conv2d, synthesis: nn.Conv2d) -> None:
    """Set the centre taps of a projection from pixels (192 -> C) and of one back (C -> 192) to the first atoms.

    Other taps become zero; channels beyond the atoms keep their values. Biases, where there are any, take mid-grey as
    the origin. Both layers train on from there.
    """
    rows = atoms()[: analysis.out_channels]
    count = len(rows)
    _set_centre(analysis.weight[:count], rows)
    _set_centre(synthesis.weight[:, :count], rows.T)
    if analysis.bias is not None and synthesis.bias is not None:
        analysis.bias[:count] = (-0.5 * rows.sum(1)).to(analysis.bias)
        synthesis.bias.fill_(0.5)


@torch.no_grad()
def start_as_pyramid(modules: Sequence[nn.Module]) -> None:
    """Set all layers of a codec but its ends, in place; everything trains on from there.

    Residual blocks pass their input. Downsampling is the mean of 2x2, upsampling repeats, channel by channel. With f
    what the coarser latents have said of the tap e, m = e - f, f_out = f + z, and the decoder adds every f_out - f_ctx.
    The prior's mean is 0. Channels that one side lacks are left out.
    """
    for module in modules:
        if isinstance(module, BaseBlock):
            _silence(module.pc2, module.ffn.pw2)
            _pass_on(module.adaptor, 1.0)
            if module.outlayer is not None:
                module.outlayer.get_parameter("bias").zero_()
        elif isinstance(module, FFN):
            _silence(module.pw2)
        elif isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            _pass_on(module, 0.25)
        elif isinstance(module, nn.Sequential) and isinstance(module[-1], nn.PixelShuffle):
            first = module[0]
            assert isinstance(first, nn.Conv2d)
            _repeat(first)
    for module in modules:  # after the blocks inside
        if isinstance(module, Merge):
            _pass_on(module.outlayer, 1.0, 1.0, -1.0)
        elif isinstance(module, LatentBlock):
            _pass_on(module.posterior.adaptor, -1.0, 1.0)
            _pass_on(module.z_proj, 1.0)
            _silence(module.prior)


def _silence(*layers: nn.Conv2d) -> None:
    for layer in layers:
        layer.weight.zero_()
        layer.get_parameter("bias").zero_()


def _pass_on(layer: nn.Conv2d | None, *factors: float) -> None:
    """Channel c of the result is the sum of channel c of the equal parts of the input, each with its factor."""
    if layer is None:
        return
    _silence(layer)
    width = layer.in_channels // len(factors)
    for part, factor in enumerate(factors):
        for c in range(min(width, layer.out_channels)):
            layer.weight[c, part * width + c] = factor


def _repeat(layer: nn.Conv2d) -> None:
    """Before a pixel shuffle by 2: every channel four times."""
    _silence(layer)
    for c in range(min(layer.in_channels, layer.out_channels // 4)):
        layer.weight[4 * c : 4 * c + 4, c] = 1.0


def _set_centre(kernel: Tensor, matrix: Tensor) -> None:
    """Change a kernel (out, in, side, side) in place. The weighted kernel's factor is 1 at its centre."""
    centre = kernel.shape[-1] // 2
    kernel.zero_()
    kernel[..., centre, centre] = matrix.to(kernel)
