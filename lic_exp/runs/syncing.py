"""Bringing the tracking stores of a run up to date from its folder."""

from collections.abc import Iterator
from dataclasses import dataclass

from lic_exp.config.chosen import not_installed
from lic_exp.runs.build import build_background_sync
from lic_exp.runs.run import Run
from lic_exp.tracking.background_sync import BackgroundSync, reason
from lic_exp.tracking.base import BusyError


@dataclass(frozen=True)
class Outcome:
    """What came of one run and one of its stores. away: why the store did not get everything, or nothing."""

    run: Run
    store: str
    text: str = ""
    away: str = ""


def sync_run(run: Run) -> Iterator[Outcome]:
    """Bring every store that the run's config names up to date."""
    # One run's unreadable config, or a store that is away, must not keep the others from being sent.
    try:
        config = run.config
    except Exception as error:  # noqa: BLE001
        yield Outcome(run, "config.yaml", away=f"cannot be read: {_said(error)}")
        return
    for name, chosen in config.tracker.components.items():
        path = f"tracker.{name}"
        try:
            missing = list(not_installed(path, chosen.schema))
            if missing:
                yield Outcome(run, path, away=missing[0])
                continue
            store = build_background_sync(config, name, run.files)
        except Exception as error:  # noqa: BLE001
            yield Outcome(run, path, away=_said(error))
            continue
        yield _send(run, store)


def _send(run: Run, store: BackgroundSync) -> Outcome:
    try:
        sent = store.sync()
    except BusyError:
        return Outcome(run, store.store, "being sent by the run itself")
    except Exception as error:  # noqa: BLE001 (whatever the store, its drivers or the network raise)
        return Outcome(run, store.store, away=_said(error))
    return Outcome(run, store.store, f"{sent} points sent" if sent else "up to date")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {reason(error)}"
