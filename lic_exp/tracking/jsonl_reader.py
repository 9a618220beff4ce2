"""Readers that follow a growing file of JSON lines, and read only what is new."""

from pathlib import Path
from typing import Any

from lic_exp.tracking.run_folder import decode_metrics

REMEMBERED = 256
"""How many of the bytes read last are compared with the file before reading on."""


class LineReader:
    """Reads each complete line of a growing file once, and starts over when the file was cut back or rewritten.

    A resumed run cuts `metrics.jsonl` back to its checkpoint and writes on. By the next look the file may be longer
    than before again, so that its length says nothing: the bytes before the offset are compared too.

    restarts: how often that has happened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._read_last = b""
        self.restarts = 0

    def new_lines(self) -> list[bytes]:
        """The lines completed since the last call, or all of them after a rewrite. Raises FileNotFoundError."""
        with open(self._path, "rb") as file:
            file.seek(self._offset - len(self._read_last))
            if file.read(len(self._read_last)) != self._read_last:
                self._offset, self._read_last = file.seek(0), b""
                self.restarts += 1
            new = file.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._offset += len(complete)
        self._read_last = (self._read_last + complete)[-REMEMBERED:]
        return complete.splitlines()


class JsonlReader:
    """The entries of a growing `metrics.jsonl`, each once; all of them anew when the file was rewritten."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = LineReader(path)

    @property
    def restarts(self) -> int:
        """How often the file was found to be rewritten."""
        return self._lines.restarts

    def new_entries(self) -> list[dict[str, Any]]:
        """The entries completed since the last call, or all of them after a rewrite; [] where there is no file.

        Raises ValueError on a line that is no JSON object.
        """
        try:
            lines = self._lines.new_lines()
        except FileNotFoundError:
            return []
        return [self._decode(line) for line in lines]

    def _decode(self, line: bytes) -> dict[str, Any]:
        try:
            return decode_metrics(line.decode())
        except ValueError as error:
            raise ValueError(f"{self._path}: the line {line[:80]!r} is no JSON object ({error})") from error
