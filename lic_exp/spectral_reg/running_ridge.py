"""How much of a coarse latent a linear map of the finer one foretells that never saw the batch it is judged on."""

import torch
from torch import Tensor, nn

from lic_exp.spectral_reg.distances import VARIANCE_FLOOR


class RunningRidge(nn.Module):
    """A linear map of features (K) to a latent's channels (C), fitted to running moments of the batches so far.

    With S the averages of the covariances of channels of deviation 1,

        W = S_au (S_uu + ridge I)^-1,

    put into the latents' units. The average decays by `decay` with every batch, so that about (1 + decay) / (1 - decay)
    batches count. Each batch is centred by itself: no offset counts. A fit costs n K^2 + K^3 / 3 multiplications
    for n positions times images. Moments and map are buffers and have no gradient.
    """

    mass: Tensor
    uu: Tensor
    au: Tensor
    aa: Tensor
    weight: Tensor

    def __init__(self, features: int, channels: int, *, decay: float, ridge: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.decay, self.ridge = decay, ridge
        self.register_buffer("mass", torch.zeros((), dtype=dtype))
        self.register_buffer("uu", torch.zeros(features, features, dtype=dtype))
        self.register_buffer("au", torch.zeros(channels, features, dtype=dtype))
        self.register_buffer("aa", torch.zeros(channels, dtype=dtype))
        self.register_buffer("weight", torch.zeros(channels, features, dtype=dtype))

    def left_over(self, coarse: Tensor, features: Tensor) -> Tensor:
        """The part (C,) in [0, 1] of each channel of coarse (B, C, h, w) that features (B, K, h, w) do not tell.

        r = min(1, (E + floor) / (V + floor)) with V the channel's variance over images and positions and E that of
        what the map leaves of it. It is 1 before the first fit, and for a channel that carries nothing.
        """
        a, u = centred(coarse), centred(features)
        # A copy, since a fit may come between this and the backward pass.
        error = a - self.weight.to(u.dtype, copy=True) @ u
        ratio = (error.square().mean(1) + VARIANCE_FLOOR) / (a.square().mean(1) + VARIANCE_FLOOR)
        return ratio.clamp(max=1)

    @torch.no_grad()
    def learn(self, coarse: Tensor, features: Tensor) -> None:
        """Take a batch into the moments; one of a single position and image has no covariance and is left out."""
        a, u = centred(coarse).to(self.uu.dtype), centred(features).to(self.uu.dtype)
        freedom = u.shape[1] - 1
        if freedom == 0:
            return
        share = 1 - self.decay
        self.mass.lerp_(torch.ones_like(self.mass), share)
        self.uu.lerp_(u @ u.T / freedom, share)
        self.au.lerp_(a @ u.T / freedom, share)
        self.aa.lerp_(a.square().sum(1) / freedom, share)

    @torch.no_grad()
    def fit(self) -> None:
        """Make the map that the moments give. Numbers that are not finite raise nothing: the map has them too."""
        mass = self.mass.clamp(min=torch.finfo(self.mass.dtype).tiny)
        of_u = (self.uu.diagonal() / mass + VARIANCE_FLOOR).sqrt()
        uu = self.uu / mass / torch.outer(of_u, of_u)
        system = uu + self.ridge * torch.eye(len(uu), dtype=uu.dtype, device=uu.device)
        lower, _ = torch.linalg.cholesky_ex(system)  # unlike `cholesky` it neither raises nor waits for the device
        self.weight.copy_(torch.cholesky_solve((self.au / mass / of_u).T, lower).T / of_u)


def centred(x: Tensor) -> Tensor:
    """X (B, C, h, w) as (C, B h w), every channel less its mean."""
    channels = x.transpose(0, 1).flatten(1)
    return channels - channels.mean(1, keepdim=True)
