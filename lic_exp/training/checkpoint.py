"""Checkpoint files: written atomically, checked before they are believed, executing nothing when read."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lic_exp.fault_points import reached
from lic_exp.models.file_digest import is_as_written
from lic_exp.models.files import CheckpointError, load_safely, save_whole
from lic_exp.sections import CHECKPOINT, Section
from lic_exp.tracking.run_folder import passing_checkpoints, step_checkpoints

log = logging.getLogger("lic_exp.training")

FORMAT = 1


class Checkpoints:
    """`step_00000100.pt` for the last `keep` saved steps, and `best.pt`, in one folder.

    keep_every: multiples of so many steps are kept as well; None: no others.
    identity: stored in every file and compared on reading, so that a foreign checkpoint is never resumed from.
    before_writing: called before every write, which does not take place where it raises.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        keep: int = 2,
        before_writing: Callable[[], None] = lambda: None,
        keep_every: int | None = None,
    ) -> None:
        self.folder = folder
        self.identity = identity
        self.keep = keep
        self.keep_every = keep_every
        self._before_writing = before_writing

    @property
    def best(self) -> Path:
        return self.folder / "best.pt"

    def steps(self) -> list[Path]:
        """The step checkpoints, oldest first."""
        return step_checkpoints(self.folder)

    def save_step(self, step: int, state: dict[str, Any]) -> None:
        """Save, then drop what is older than the last `keep`. A failure leaves the former files as they were."""
        self._write(self._file_after(step), state)
        reached("checkpoint.written")
        for old in passing_checkpoints(self.steps()[: -self.keep], self.keep_every):
            old.unlink()

    @Section(CHECKPOINT)
    def save_best(self, state: dict[str, Any]) -> None:
        self._write(self.best, state)

    def load_newest(self) -> dict[str, Any] | None:
        """The newest step checkpoint that can be read, or None where there is none at all.

        A damaged one is passed over with a warning. Raises CheckpointError where none of them can be read, and at
        once where one is another run's.
        """
        failures = []
        for path in reversed(self.steps()):
            try:
                state = load_checkpoint(path)
            except CheckpointError as error:
                log.warning("%s; trying the checkpoint before it", error)
                failures.append(str(error))
                continue
            self._check_identity(path, state)
            return state
        if failures:
            raise CheckpointError("no checkpoint can be read: " + "; ".join(failures))
        return None

    def load_step(self, step: int) -> dict[str, Any]:
        """The checkpoint after so many steps. Raises CheckpointError, also where it is another run's."""
        path = self._file_after(step)
        state = load_checkpoint(path)
        self._check_identity(path, state)
        return state

    def clear(self) -> None:
        """Delete all checkpoints: the run starts over."""
        for path in [*self.steps(), self.best]:
            path.unlink(missing_ok=True)

    def load_best(self) -> dict[str, Any]:
        """The best weights. Raises CheckpointError, also where they are another run's."""
        state = load_checkpoint(self.best)
        self._check_identity(self.best, state)
        return state

    def check_best(self) -> None:
        """Raise CheckpointError where the best weights are gone, cannot be read, or are another run's."""
        try:
            if not self.best.is_file():
                raise CheckpointError(f"{self.best} is gone")
            self.load_best()
        except CheckpointError as error:
            raise CheckpointError(f"{error}. trainer.resume=never starts the run anew") from error

    def _file_after(self, step: int) -> Path:
        return self.folder / f"step_{step:08d}.pt"

    def _check_identity(self, path: Path, state: dict[str, Any]) -> None:
        if state.get("identity") != self.identity:
            raise CheckpointError(
                f"{path} belongs to run {state.get('identity')}, not to {self.identity}: it was copied here, or the "
                "config was changed. Start from its weights with model.weights, or remove it"
            )

    def _write(self, path: Path, state: dict[str, Any]) -> None:
        self._before_writing()
        self.folder.mkdir(exist_ok=True)
        save_whole({"format": FORMAT, "digested": True, "identity": self.identity, **state}, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read one of our checkpoints to CPU tensors. Raises CheckpointError with what is wrong with the file."""
    state = load_safely(path)
    if isinstance(state, dict) and state.get("digested") and is_as_written(path) is None:
        raise CheckpointError(f"{path} is damaged: it has lost its digest")
    if not isinstance(state, dict) or not {"codec", "identity", "step"} <= state.keys():
        raise CheckpointError(f"{path} is no checkpoint of this platform")
    if state.get("format") != FORMAT:
        raise CheckpointError(f"{path} has checkpoint format {state.get('format')}; this version reads {FORMAT}")
    return state
