"""What the loop tells of itself, and to whom it does not care."""

from typing import Any, Protocol


class Reporter(Protocol):
    """Where the loop's numbers go."""

    def log(self, metrics: dict[str, float], *, step: int, epoch: int) -> None:
        """Record metrics of the step that has just been done."""

    def advance(self, step: int) -> None:
        """Show that `step` steps are done; called every step."""

    def uncaptured(self, step: int) -> None:
        """Record that steps are not replayed from this one on, though they were to be."""

    def position(self) -> Any:
        """How much has been recorded, lastingly, to be given to `rewind` on resume: plain numbers and containers."""

    def rewind(self, position: Any) -> None:
        """Drop what was recorded after `position`."""


class SilentReporter:
    """Of a rank that another one reports for."""

    def log(self, metrics: dict[str, float], *, step: int, epoch: int) -> None:
        pass

    def advance(self, step: int) -> None:
        pass

    def uncaptured(self, step: int) -> None:
        pass

    def position(self) -> None:
        pass

    def rewind(self, position: Any) -> None:
        pass
