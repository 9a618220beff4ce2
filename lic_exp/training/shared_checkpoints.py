"""The checkpoints of a training on several ranks: the first rank writes them, all read the same one."""

from pathlib import Path
from typing import Any

from lic_exp.ops.ranks import is_first, said_by_first
from lic_exp.training.checkpoint import Checkpoints


class SharedCheckpoints(Checkpoints):
    """As `Checkpoints` where there is one rank. Which file is gone on from, the first says: others may see less yet."""

    def load_newest(self) -> dict[str, Any] | None:
        state = super().load_newest() if is_first() else None
        step: int | None = said_by_first(None if state is None else int(state["step"]))
        if is_first() or step is None:
            return state
        return self.load_step(step)

    def clear(self) -> None:
        if is_first():
            super().clear()

    def check_best(self) -> None:
        if is_first():
            super().check_best()

    def save_step(self, step: int, state: dict[str, Any]) -> None:
        if is_first():
            super().save_step(step, state)

    def _write(self, path: Path, state: dict[str, Any]) -> None:
        if is_first():
            super()._write(path, state)
