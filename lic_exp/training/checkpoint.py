"""Checkpoint files, written atomically."""

import io
from pathlib import Path
from typing import Any

import torch

from lic_exp.tracking.run_folder import write_atomically


class Checkpoints:
    """`step_00000100.pt` for the last `keep` saved steps and `best.pt`, in one folder."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    @property
    def best(self) -> Path:
        return self.folder / "best.pt"

    def steps(self) -> list[Path]:
        """The step checkpoints, oldest first."""
        return sorted(self.folder.glob("step_*.pt"))

    def save_step(self, step: int, state: dict[str, Any]) -> None:
        """Save, then drop what is older than the last `keep`."""
        self._write(self.folder / f"step_{step:08d}.pt", state)
        for old in self.steps()[: -self.keep]:
            old.unlink()

    def save_best(self, state: dict[str, Any]) -> None:
        self._write(self.best, state)

    def _write(self, path: Path, state: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint to CPU tensors, executing none of its content (`weights_only`)."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
