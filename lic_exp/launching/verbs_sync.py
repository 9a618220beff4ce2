"""`sync`: bring tracking stores up to date from the run folders."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lic_exp.launching import exit_codes
from lic_exp.launching.verbs import add_runs

if TYPE_CHECKING:
    from rich.console import Console

    from lic_exp.launching.run import Run
    from lic_exp.launching.verbs import Verbs
    from lic_exp.tracking.follower import Follower


@dataclass(frozen=True)
class Outcome:
    """What came of one run and one of its stores. away: why the store did not get everything, or nothing."""

    run: "Run"
    store: str
    text: str = ""
    away: str = ""


def add_parser(verbs: "Verbs") -> None:
    parser = verbs.add_parser(
        "sync",
        help="bring MLflow and other stores up to date from the run folders",
        description="Send what the stores of runs (`tracker=`) lack. Safe while runs train, and as often as you like. "
        f"Exit code {exit_codes.FAILED}: a store is still away.",
    )
    parser.add_argument("run", metavar="RUN", nargs="*", help="folders or signatures, or beginnings; default: all runs")
    add_runs(parser)
    parser.set_defaults(verb=_sync)


def _sync(options: argparse.Namespace) -> int:
    from lic_exp.launching.run import Run, find_run, run_folders
    from lic_exp.launching.summary import console_for

    runs = [find_run(name, options.runs) for name in options.run] or [Run(path) for path in run_folders(options.runs)]
    outcomes = [outcome for run in runs for outcome in sync_run(run)]
    _print_table(outcomes, console_for(sys.stdout))
    away = [outcome for outcome in outcomes if outcome.away]
    for outcome in away:
        print(f"{outcome.run.signature}, {outcome.store}: {outcome.away}", file=sys.stderr)
    if away:
        print(
            f"{len(away)} of {len(outcomes)} did not get everything. Nothing is lost: the run folders keep it; "
            "once the reason is gone, run this again.",
            file=sys.stderr,
        )
    return exit_codes.FAILED if away else exit_codes.DONE


def sync_run(run: "Run") -> Iterator[Outcome]:
    """Bring every store that the run's config names up to date."""
    from lic_exp.launching.build import build_follower
    from lic_exp.launching.validation import component_of, not_installed

    # One run's unreadable config, or a store that is away, must not keep the others from being sent.
    try:
        config = run.config
        named = list(config["tracker"])
    except Exception as error:  # noqa: BLE001
        yield Outcome(run, "config.yaml", away=f"cannot be read: {_said(error)}")
        return
    for name in named:
        path = f"tracker.{name}"
        try:
            missing = list(not_installed(path, component_of(config, path)))
            if missing:
                yield Outcome(run, path, away=missing[0])
                continue
            follower = build_follower(config, path, run.files)
        except Exception as error:  # noqa: BLE001
            yield Outcome(run, path, away=_said(error))
            continue
        yield _send(run, follower)


def _send(run: "Run", follower: "Follower") -> Outcome:
    from lic_exp.tracking.base import BusyError

    try:
        sent = follower.sync()
    except BusyError:
        return Outcome(run, follower.store, "being sent by the run itself")
    except Exception as error:  # noqa: BLE001 (whatever the store, its drivers or the network raise)
        return Outcome(run, follower.store, away=_said(error))
    return Outcome(run, follower.store, f"{sent} points sent" if sent else "up to date")


def _said(error: Exception) -> str:
    from lic_exp.tracking.follower import reason

    return f"{type(error).__name__}: {reason(error)}"


def _print_table(outcomes: Sequence[Outcome], console: "Console") -> None:
    from rich.markup import escape
    from rich.table import Table

    if not outcomes:
        console.print("no run names a store: nothing to send", highlight=False)
        return
    table = Table("run", "state", "store", "sent")
    for outcome in outcomes:
        cells = (outcome.run.signature, outcome.run.state, outcome.store, outcome.text or "away")
        table.add_row(*map(escape, cells), style="yellow" if outcome.away else None)
    console.print(table)
