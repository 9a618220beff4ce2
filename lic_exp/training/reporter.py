"""What the loop tells of itself, and to whom it does not care."""

from typing import Protocol


class Reporter(Protocol):
    """Where the loop's numbers go."""

    def log(self, metrics: dict[str, float], *, step: int, epoch: int) -> None:
        """Record metrics of the step that has just been done."""

    def advance(self, step: int) -> None:
        """Show that `step` steps are done; called every step."""

    def position(self) -> int:
        """How much has been recorded, to be given to `rewind` on resume."""

    def rewind(self, position: int) -> None:
        """Drop what was recorded after `position`."""
