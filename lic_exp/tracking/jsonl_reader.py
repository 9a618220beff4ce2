"""Readers that follow a growing file of JSON lines, and read only what is new."""

import logging
from pathlib import Path
from typing import Any

from lic_exp.records import open_file
from lic_exp.tracking.run_folder import Damaged, damage_text, decode_metrics

_log = logging.getLogger("lic_exp.tracking")

REMEMBERED = 256
"""How many of the bytes read last are compared with the file before reading on."""


class LineReader:
    """Reads each complete line of a growing file once, and starts over when the file was cut back or rewritten.

    A resumed run cuts `metrics.jsonl` back to its checkpoint and writes on. By the next look the file may be longer
    than before again, so that its length says nothing: the bytes before the offset are compared too.

    restarts: how often that has happened. lines: how many were read since.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._read_last = b""
        self.restarts = 0
        self.lines = 0

    def new_lines(self) -> list[bytes]:
        """The lines completed since the last call, or all of them after a rewrite.

        Raises FileNotFoundError, and RecordError.
        """
        with open_file(self._path) as file:
            file.seek(self._offset - len(self._read_last))
            if file.read(len(self._read_last)) != self._read_last:
                self._offset, self._read_last = file.seek(0), b""
                self.restarts += 1
                self.lines = 0
            new = file.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._offset += len(complete)
        self._read_last = (self._read_last + complete)[-REMEMBERED:]
        lines = complete.split(b"\n")[:-1]
        self.lines += len(lines)
        return lines


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

        Lines that are none are passed over; a warning names them, once.
        """
        try:
            lines = self._lines.new_lines()
        except FileNotFoundError:
            return []
        entries = []
        damaged: list[Damaged] = []
        for number, line in enumerate(lines, start=1 + self._lines.lines - len(lines)):
            try:
                entries.append(decode_metrics(line))
            except ValueError as error:
                damaged.append((number, str(error)))
        if damaged:
            _log.warning("%s", damage_text(self._path, damaged))
        return entries
