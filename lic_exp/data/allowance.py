"""What a process may still write to the store of decoded photos, and why it may write no more. Imports no torch."""

import errno
import math
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from lic_exp.data.store_room import ContendedError, NoRoomError, give_back, make_room

FULL_FOR_S = 600.0
"""How long a store that was full is not asked for room again."""

BUSY_FOR_S = 60.0
"""The same of a store in which others looked for room too long."""

_asking = threading.Lock()
"""Held by the thread that asks for room: the process's, since a store is sent to other processes."""


class Allowance:
    """Room that was found in a store's folder and is not written to yet.

    most: bytes of all photos; 0: nothing may be written. spared_since: what was used later makes no room [Unix s].
    Threads may share it. A copy that is sent to another process asks for room of its own, and does not say again what
    was said.
    """

    def __init__(self, folder: Path, *, most: int, spared_since: float) -> None:
        self._folder = folder
        self._most = most
        self._spared_since = spared_since
        self._left = 0
        self._closed_until = 0.0 if most else math.inf
        self._said: set[str] = set()
        self._notes: list[str] = []

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_left": 0, "_notes": []}

    def take_notes(self) -> list[str]:
        """What is to be said to the user, each once: why some photos are not kept."""
        notes, self._notes = self._notes, []
        return notes

    def note(self, text: str) -> None:
        """Have something said, once."""
        if text not in self._said:
            self._said.add(text)
            self._notes.append(text)

    def is_closed(self) -> bool:
        """Whether nothing may be written now."""
        return time.monotonic() < self._closed_until

    def take(self, size: int) -> bool:
        """Whether so many bytes may be written, which are then taken off."""
        with _asking:
            if self.is_closed():
                return False
            if size > self._most:
                self.note(
                    f"{self._folder} takes no photo larger than data.store_mb={self._most // 10**6}: they are decoded "
                    "each time"
                )
                return False
            if self._left < size and not self._ask_for(size):
                return False
            self._left -= size
            return True

    def _ask_for(self, size: int) -> bool:
        try:
            self._left = make_room(self._folder, size, most=self._most, spared_since=self._spared_since)
        except NoRoomError as error:
            self._close(FULL_FOR_S, str(error))
        except ContendedError:
            self._closed_until = time.monotonic() + BUSY_FOR_S
        except (OSError, NotImplementedError) as error:  # the latter where a disk knows no locks
            self.refused(error)
        else:
            return True
        return False

    def refused(self, error: Exception) -> None:
        """Nothing more may be written after this error, but where only the folder was removed at this very moment.

        A disk that is full gets room back: photos cost time alone, and the run is about to write its checkpoints there.
        """
        if isinstance(error, FileNotFoundError):
            return
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            with suppress(OSError, NotImplementedError, ContendedError):
                give_back(self._folder)
        self._close(math.inf, getattr(error, "strerror", None) or str(error))

    def _close(self, seconds: float, reason: str) -> None:
        self._closed_until = time.monotonic() + seconds
        self.note(
            f"{self._folder} takes no more decoded photos: {reason}. The others are decoded each time; "
            "data.store_mb=0 does without"
        )
