"""Tests of what only a GPU can show, skipped where there is none. All of them take a minute on an H100."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def gpu() -> Iterator[torch.device]:
    """The GPU, with float32 and algorithms that do not change from run to run."""
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.backends.cudnn, "deterministic", True)
        patch.setattr(torch.backends.cudnn, "benchmark", False)
        patch.setattr(torch.backends.cudnn, "allow_tf32", False)
        yield torch.device("cuda", torch.cuda.current_device())
