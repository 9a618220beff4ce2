"""The released HPCM code's own training step, for comparison; https://github.com/lyq133/LIC-HPCM, commit c271cfe."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

LMBDA, CLIP = 0.013, 1.0
STAND_INS = {
    "src.entropy_models._CXX": ["pmf_to_quantized_cdf"],
    "src.entropy_models.unbounded_ans": ["ubransEncoder", "ubransDecoder"],
    "torch.utils.tensorboard": ["SummaryWriter"],
}
"""What is imported, and not needed by a step."""


def step(folder: Path, images: torch.Tensor) -> Callable[[int], None]:
    """A step as the loop of its train.py makes it, on HPCM-Base, with the switches of cuDNN that it sets."""
    sys.path.append(str(folder))
    for name, members in STAND_INS.items():
        sys.modules[name] = ModuleType(name)
        for member in members:
            setattr(sys.modules[name], member, None)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = True
    train = importlib.import_module("train")
    net = importlib.import_module("src.models.HPCM_Base").HPCM().to(images.device).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    criterion = train.RateDistortionLoss(lmbda=LMBDA)
    meters: dict[str, Any] = {name: train.AverageMeter() for name in ("bpp_loss", "loss", "mse_loss", "psnr")}
    meters |= {name: train.AverageMeter() for name in ("y_bpp", "z_bpp")}

    def made(number: int) -> None:
        optimizer.zero_grad()
        out = criterion(net(images), images)
        out["loss"].backward()
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        if norm.isnan() or norm.isinf():
            raise RuntimeError("the released code skips this batch: its gradient is not finite")
        optimizer.step()
        for name, meter in meters.items():
            meter.update(out[name])

    return made
