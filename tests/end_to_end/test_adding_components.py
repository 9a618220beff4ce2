"""Adding a component to the package itself is one code file and one yaml: shown in a scratch copy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import copy_checkout

MODEL = '''"""A codec of one convolution each way."""

import torch
from torch import Tensor, nn

from lic_exp.capabilities import CodecFacts, signed_as
from lic_exp.models.base import Codec, CodecOutput, Compressed
from lic_exp.option_types import PositiveInt


@signed_as("added")
class Added(Codec):
    """x (B, 3, H, W) to y (B, channels, H / 4, W / 4) and back."""

    facts = CodecFacts(downsampling_factor=4, latents=1)

    def __init__(self, *, channels: PositiveInt) -> None:
        super().__init__()
        self.g_a, self.g_s = nn.Conv2d(3, channels, 4, 4), nn.ConvTranspose2d(channels, 3, 4, 4)

    def forward(self, x: Tensor) -> CodecOutput:
        y = self.g_a(x)
        y_hat = y + torch.rand_like(y) - 0.5 if self.training else y.round()
        return CodecOutput(self.g_s(y_hat).float(), {"y": 1 + y_hat.float().square()}, (y_hat,))

    def compress(self, x: Tensor) -> Compressed:
        raise NotImplementedError

    def decompress(self, compressed: Compressed) -> Tensor:
        raise NotImplementedError

    def reconstruct(self, compressed: Compressed) -> Tensor:
        raise NotImplementedError

    def update(self, force: bool = True) -> None:
        pass
'''

REGULARIZER = '''"""Rewards small latents."""

from torch import Tensor

from lic_exp.capabilities import RegularizerNeeds, signed_as
from lic_exp.models.base import CodecOutput
from lic_exp.option_types import NonNegativeFloat
from lic_exp.requirements import Forbids, NoWeights, declares
from lic_exp.spectral_reg.base import SpectralRegularizer


@signed_as("small")
@declares(NoWeights(), Forbids({}, "small latents want float32", beside={"trainer.precision": ("bf16", "fp16")}))
class Small(SpectralRegularizer):
    """weight * mean(y^2), in training only."""

    needs = RegularizerNeeds(latents=1)

    def __init__(self, *, weight: NonNegativeFloat) -> None:
        super().__init__()
        self.weight = weight

    def penalty(self, output: CodecOutput) -> Tensor | None:
        return self.weight * output.latents[0].square().mean() if self.training else None
'''

FILES = {
    "lic_exp/models/added.py": MODEL,
    "conf/model/added.yaml": "# A codec of a test.\n_target_: lic_exp.models.added.Added\nchannels: 4\n"
    "weights: null\npartial_weights: false\nfreeze: []\n",
    "lic_exp/spectral_reg/small.py": REGULARIZER,
    "conf/spectral_reg/small.yaml": "# Of a test.\n_target_: lic_exp.spectral_reg.small.Small\nweight: 0.1\n",
}

RUN = (
    *("model=added", "spectral_reg=small", "data=synthetic", "data.crop_size=32", "data.val_limit=1", "tracker=none"),
    *("trainer.max_steps=2", "trainer.device=cpu", "trainer.threads=1", "evaluation.enabled=false"),
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = copy_checkout(tmp_path_factory.mktemp("checkout"), "lic_exp", "conf", "launch.py")
    for path, text in FILES.items():
        (copy / path).write_text(text)
    return copy


def python(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def test_a_model_and_a_regularizer_train_by_two_files_each(checkout: Path) -> None:
    done = python(checkout, "launch.py", *RUN)
    assert done.returncode == 0, done.stderr
    assert "model Added  spectral_reg Small" in done.stderr
    assert list(checkout.glob("runs/*/checkpoints/best.pt"))


def test_what_it_demands_of_other_groups_is_refused_at_once(checkout: Path) -> None:
    done = python(checkout, "launch.py", *RUN, "trainer.precision=bf16")
    assert done.returncode == 2
    assert "spectral_reg: small latents want float32" in done.stderr


def test_it_has_a_name_of_its_own(checkout: Path) -> None:
    names = {
        python(checkout, "-m", "lic_exp", "signature", *RUN, *more).stdout for more in ((), ("spectral_reg=none",))
    }
    assert len(names) == 2
    assert all(len(name.strip()) == 16 for name in names)
