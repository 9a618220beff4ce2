"""Processes of `python -m lic_exp coder` that code pictures: each is started once, asked often, and ends with this one.

Here no torch is imported, and loading a codec takes seconds, so a process for every picture would do little else.
"""

import atexit
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from analysis.measured.codec import AnchorError
from lic_exp.files.frames import Frame, read_frame, write_frame
from lic_exp.text import shortened, visible

COMMAND = (sys.executable, "-m", "lic_exp", "coder")

LONGEST_REASON = 300

MOST = 4
"""Processes of one kind: each takes seconds to load, and half a gigabyte."""


class CoderProcess:
    """One process, which answers one frame at a time."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._is_asked = False
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        # A session of its own: Ctrl-C is for who asked, and when that ends, so does the pipe, and by it the process.
        self._process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )

    def ask(self, frame: Frame) -> Frame:
        """Its answer. Raises AnchorError where it refuses, or has ended, with its last words."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._is_asked = True
        try:
            write_frame(self._process.stdin, frame)
            answer = read_frame(self._process.stdout)
        except (BrokenPipeError, EOFError):
            answer = None
        if answer is None:
            raise AnchorError(self._last_words())
        self._is_asked = False
        if "error" in answer.words:
            raise AnchorError(str(answer.words["error"]))
        return answer

    @property
    def is_ready(self) -> bool:
        """Whether it lives, and no answer of it is still to come."""
        return not self._is_asked and self._process.poll() is None

    def end(self) -> None:
        """End it, which waits for what it is at."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self._process.wait()
        self._said.close()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return shortened(visible(lines[-1] if lines else f"it ended with exit code {code}"), LONGEST_REASON)


class Coders:
    """Processes of the same arguments, as many as are asked at a time, and no more than MOST."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, ...], list[CoderProcess]] = {}
        self._room: dict[tuple[str, ...], threading.Semaphore] = {}
        self._lock = threading.Lock()

    @contextmanager
    def one(self, role: str, arguments: Sequence[str]) -> Iterator[CoderProcess]:
        """A process that nobody else asks meanwhile; waits for one. role: those of another one are others."""
        key = (role, *arguments)
        with self._lock:
            room = self._room.setdefault(key, threading.Semaphore(MOST))
        with room:
            with self._lock:
                idle = self._idle.setdefault(key, [])
                process = idle.pop() if idle else None
            if process is not None and not process.is_ready:  # something has ended it
                process.end()
                process = None
            process = process or CoderProcess(arguments)
            try:
                yield process
            finally:
                if process.is_ready:
                    with self._lock:
                        self._idle.setdefault(key, []).append(process)
                else:
                    process.end()

    def end(self) -> None:
        """End all that nobody asks."""
        with self._lock:
            ending = [process for idle in self._idle.values() for process in idle]
            self._idle.clear()
        for process in ending:
            process.end()


CODERS = Coders()
atexit.register(CODERS.end)
