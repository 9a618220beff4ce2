"""What the platform logs of an attempt, in the run's own file."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler

from rich.console import Console

from lic_exp.text import visible
from lic_exp.tracking.run_folder import RunFolder


class VisibleFormatter(logging.Formatter):
    """A record's message is one line; a traceback has its own. Control characters are shown in both."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(visible, super().format(record).split("\n")))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        record.message = visible(record.message)
        return super().formatMessage(record)


@contextmanager
def log_file(run: RunFolder, earlier: MemoryHandler | None = None, whose: str = "") -> Iterator[None]:
    """Sends the platform's log records to run.log while inside, first those that were held back before.

    whose: before each message, of a process that is not alone at the run.
    """
    handler = logging.FileHandler(run.log, encoding="utf-8", errors="backslashreplace", delay=True)
    handler.setFormatter(VisibleFormatter(f"%(asctime)s %(levelname)s %(name)s: {whose}%(message)s"))
    if earlier is not None:
        earlier.setTarget(handler)
        earlier.flush()
    with _listening(handler):
        yield


@contextmanager
def held_back(console: Console) -> Iterator[MemoryHandler]:
    """Keeps what is logged while there is no run folder yet; who is at the console sees the warnings among it."""
    handler = MemoryHandler(capacity=1000, flushLevel=logging.CRITICAL + 1)
    with _listening(handler), _listening(_Shown(console)):
        yield handler


class _Shown(logging.Handler):
    """Prints warnings as a line of their own."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(f"warning: {visible(record.getMessage())}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _listening(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("lic_exp")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        if not isinstance(handler, MemoryHandler):
            handler.close()
