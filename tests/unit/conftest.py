"""Run folders that commands and readers of runs look at."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from made_runs import write_run

from lic_exp.config.compose import compose
from lic_exp.config.overrides import parse
from lic_exp.config.validation import validate


@cache
def config_of_runs() -> dict[str, Any]:
    overrides = ["model=mean_scale_hyperprior_tiny", "spectral_reg=intra", "optimizer.lr=3e-4", "tracker=none"]
    return validate(compose(parse(overrides)))


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a run folder in ./runs, which a fresh working folder holds: (signature, state, ...), as `write_run`."""
    monkeypatch.chdir(tmp_path)

    def made(signature: str, *state: str, **more: Any) -> Path:
        return write_run(tmp_path / "runs" / signature, config_of_runs(), *state, **more)

    return made
