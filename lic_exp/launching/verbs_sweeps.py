"""`status`, `logs`, `cancel`, `retry`, `wait`: what can be done with sweeps, by their files alone."""

import argparse
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lic_exp.launching import exit_codes
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.verbs import add_runs

if TYPE_CHECKING:
    from lic_exp.launching.sweeps.folder import Cell, Sweep
    from lic_exp.launching.verbs import Verbs

LOOK_EVERY_S = 1.0
LOG_LINES = 30

Verb = Callable[[argparse.Namespace], int]


def add_parser(verbs: "Verbs") -> None:
    status = _add(verbs, "status", _status, "a sweep's cells: state, step, rd_loss, ETA, host, attempts, reason")
    status.add_argument("--watch", action="store_true", help="renew the table until Ctrl-C, or until all has ended")
    status.add_argument("--json", action="store_true", help="one JSON object per cell")
    logs = _add(verbs, "logs", _logs, "what the cells of a sweep said", cells=True)
    logs.add_argument("-n", "--lines", type=int, default=LOG_LINES, help="from the end (default: %(default)s)")
    logs.add_argument("--follow", action="store_true", help="go on with one cell's log until it has ended")
    _add(verbs, "cancel", _cancel, "stop cells, which keep their checkpoints, and start no more of them", cells=True)
    retry = _add(verbs, "retry", _retry, "run again what failed, was killed, timed out or was cancelled", cells=True)
    retry.add_argument("--stale", action="store_true", help="also make anew, from nothing, what other code has made")
    retry.add_argument("--slots", type=int, help="cells at a time (default: as the sweep was started)")
    retry.add_argument("--detach", action="store_true", help="in the background")
    wait = _add(verbs, "wait", _wait, "return when nothing of a sweep runs any more, with its exit code")
    wait.add_argument("--timeout", type=float, metavar="MINUTES", help="give up, with exit code 75")


def _add(verbs: "Verbs", name: str, verb: Verb, text: str, *, cells: bool = False) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. See docs/sweeps.md.")
    parser.add_argument(
        "sweep", metavar="SWEEP", nargs="?", help="name, its beginning, or folder (default: the latest)"
    )
    if cells:
        parser.add_argument("cell", metavar="CELL", nargs="*", help="signature or label (default: all)")
    add_runs(parser)
    parser.set_defaults(verb=verb)
    return parser


def _chosen(options: argparse.Namespace) -> "Sweep":
    from lic_exp.launching.sweeps.folder import find_sweep

    return find_sweep(options.sweep, options.runs)


def _status(options: argparse.Namespace) -> int:
    from lic_exp.launching.summary import console_for
    from lic_exp.launching.sweeps.display import as_records, status_view
    from lic_exp.launching.sweeps.states import states

    sweep = _chosen(options)
    if options.json:
        import json

        for record in as_records(sweep, states(sweep).values()):
            print(json.dumps(record, ensure_ascii=False))
        return exit_codes.DONE
    console = console_for(sys.stdout)
    if not options.watch:
        console.print(status_view(sweep, list(states(sweep).values()), console.width))
        return exit_codes.DONE
    return _watch(sweep)


def _watch(sweep: "Sweep") -> int:
    from rich.live import Live

    from lic_exp.launching.summary import console_for
    from lic_exp.launching.sweeps.display import status_view
    from lic_exp.launching.sweeps.states import states

    console = console_for(sys.stdout)
    with Live(console=console, refresh_per_second=2) as live:
        try:
            while True:
                live.update(status_view(sweep, list(states(sweep).values()), console.width))
                if not _at_work(sweep):
                    return exit_codes.DONE
                time.sleep(LOOK_EVERY_S)
        except KeyboardInterrupt:
            return exit_codes.DONE


def _at_work(sweep: "Sweep") -> bool:
    from lic_exp.launching.sweeps.states import ACTIVE, pool_lives, states

    return pool_lives(sweep) or any(one.state in ACTIVE for one in states(sweep).values())


def _logs(options: argparse.Namespace) -> int:
    from lic_exp.launching.sweeps.display import visible

    sweep = _chosen(options)
    cells = sweep.find(options.cell)
    if options.follow:
        if len(cells) != 1:
            raise ConfigError(["--follow: name one cell"])
        return _follow(sweep, cells[0])
    for cell in cells:
        job = sweep.job(cell).get("job")
        for path in [sweep.log(cell), *([sweep.job_log(job)] if job else [])]:
            if not path.exists():
                continue
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            print(f"== {visible(cell.label)} ({path})")
            print("\n".join(lines[-options.lines :]))
    return exit_codes.DONE


def _follow(sweep: "Sweep", cell: "Cell") -> int:
    from lic_exp.launching.sweeps.states import ACTIVE, UNBEGUN, pool_lives, state_of

    place = 0
    while True:
        state = state_of(sweep, cell).state
        if sweep.log(cell).exists():
            with open(sweep.log(cell), encoding="utf-8", errors="replace") as file:
                file.seek(place)
                print(file.read(), end="", flush=True)
                place = file.tell()
        if state not in ACTIVE and not (state in UNBEGUN and pool_lives(sweep)):
            return exit_codes.DONE
        time.sleep(LOOK_EVERY_S)


def _cancel(options: argparse.Namespace) -> int:
    from lic_exp.launching.sweeps.control import cancel

    sweep = _chosen(options)
    for text in cancel(sweep, sweep.find(options.cell)):
        print(text)
    return exit_codes.DONE


def _retry(options: argparse.Namespace) -> int:
    from lic_exp.launching.sweeps.control import retry

    sweep = _chosen(options)
    changes = {"detach": True} if options.detach else {}
    changes |= {} if options.slots is None else {"slots": options.slots}
    return retry(sweep, sweep.find(options.cell), stale=options.stale, **changes)


def _wait(options: argparse.Namespace) -> int:
    from lic_exp.launching.sweeps.control import wait

    return wait(_chosen(options), None if options.timeout is None else 60 * options.timeout)
