"""A sweep as people see it: its table, and its failures grouped by what went wrong."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lic_exp.console import styled
from lic_exp.labels import label_width
from lic_exp.sweeps.folder import SweepFolder
from lic_exp.sweeps.launcher import find_launcher, queue_of
from lic_exp.sweeps.states import ACTIVE, FINISHED, INTERRUPTED, TROUBLE, CellState, count_text, eta_s, pool_lives
from lic_exp.text import age_text, first_line, shortened, visible

WIDE = 150
MOST_NAMED = 6


def status_view(sweep: SweepFolder, found: Sequence[CellState], width: int) -> RenderableType:
    """The whole of `status`."""
    return Group(_head(sweep, found), status_table(sweep, found, width), *failure_lines(found))


def status_table(sweep: SweepFolder, found: Sequence[CellState], width: int) -> Table:
    """One row per cell, without the columns that have no entry."""
    rows = [_row(sweep, one, wide=width >= WIDE) for one in found]
    titles = [title for title in (rows[0] if rows else {}) if any(row[title] for row in rows)]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in titles:
        right = title in ("step", "rd_loss", "ETA", "tries")
        if title == "cell":  # which goes on below where it is long, and is never cut
            table.add_column(title, min_width=label_width(row[title] for row in rows), overflow="fold")
        else:
            table.add_column(title, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    for one, row in zip(found, rows, strict=True):
        table.add_row(*[styled(row[title], _style(one.state) if title == "state" else "") for title in titles])
    return table


def _row(sweep: SweepFolder, one: CellState, *, wide: bool) -> dict[str, str]:
    eta = eta_s(sweep, one)
    step = "" if one.step is None else f"{one.step}/{one.max_steps}" if one.max_steps else str(one.step)
    return {
        "cell": visible(one.cell.label),
        "run": one.cell.signature if wide else one.cell.signature[:8],
        "state": one.state,
        "step": step,
        "rd_loss": "" if one.best is None else f"{one.best:.4f}",
        "ETA": "" if eta is None else age_text(eta),
        "host": shortened(visible(one.host or ""), 20 if wide else 10),
        "tries": str(one.attempts) if one.attempts else "",
        "reason": shortened(visible(first_line(one.reason)), 60 if wide else 28),
    }


def _head(sweep: SweepFolder, found: Sequence[CellState]) -> Text:
    states = [one.state for one in found]
    by, at_work = _run_by(sweep, any(state in ACTIVE for state in states))
    head = styled(f"sweep {sweep.name} in {sweep.runs}: {count_text(found)}; {by}", "bold")
    queues = {one.job["launcher"]: queue_of(one.job) for one in found if one.job}
    for queue in queues.values():
        if queue is not None and queue.trouble:
            text = f"{queue.title} could not be asked, and this is from files alone: {visible(queue.trouble)}"
            head.append(f"\n{text}", style="yellow")
    if not at_work and any(state not in FINISHED for state in states):
        head.append("\nits command starts what is missing; `retry` what failed", style="dim")
    return head


def _run_by(sweep: SweepFolder, active: bool) -> tuple[str, bool]:
    """Who runs the sweep, in words, and whether anybody does. active: whether a cell of it waits in a queue or runs."""
    launcher = find_launcher(sweep.manifest.get("launched_by") or "")
    pool = sweep.pool if pool_lives(sweep) else {}
    if active and launcher is not None and launcher.queue is not None:
        return f"run by {launcher.queue.title}", True
    return (f"run by process {pool['pid']} on {pool['host']}" if pool else "no pool is at work on it"), bool(pool)


def failure_lines(found: Iterable[CellState]) -> list[Text]:
    """One entry per kind of failure: how many, which cells, and the first line of the first."""
    groups: dict[tuple[str, str], list[CellState]] = {}
    for one in found:
        if one.state in TROUBLE:
            groups.setdefault((one.state, kind_of(one.reason)), []).append(one)
    lines = []
    for (state, kind), members in groups.items():
        named = ", ".join(visible(one.cell.label) for one in members[:MOST_NAMED])
        more = f" and {len(members) - MOST_NAMED} more" if len(members) > MOST_NAMED else ""
        code = members[0].exit_code
        exit_text = "" if code is None else f", exit code {code}"
        text = Text(f"\n{len(members)} {state}{f': {kind}' if kind else ''}{exit_text} ({named}{more})\n", style="red")
        text.append(f"  {visible(first_line(members[0].reason))}", style="default")
        lines.append(text)
    return lines


def kind_of(reason: str) -> str:
    """The class of the exception that a reason begins with, or nothing."""
    head = first_line(reason).partition(":")[0]
    return head if head.replace(".", "").replace("_", "").isalnum() and head[:1].isupper() else ""


def as_records(sweep: SweepFolder, found: Iterable[CellState]) -> list[dict[str, Any]]:
    """One plain mapping per cell: for `status --json` and the Python interface."""
    return [
        {
            "signature": one.cell.signature,
            "label": one.cell.label,
            "role": dict(one.cell.role),
            "state": one.state,
            "reason": one.reason,
            "step": one.step,
            "max_steps": one.max_steps,
            "rd_loss": one.best,
            "eta_s": eta_s(sweep, one),
            "host": one.host,
            "attempts": one.attempts,
            "job": one.job.get("job"),
            "exit_code": one.exit_code,
            "age_s": None if one.started is None else time.time() - one.started,
            "folder": str(sweep.run(one.cell).folder),
        }
        for one in found
    ]


def _style(state: str) -> str:
    for states, style in ((("done",), "green"), (ACTIVE, "cyan"), (TROUBLE, "red"), (INTERRUPTED, "yellow")):
        if state in states:
            return style
    return "yellow" if state == "stale" else "dim"
