"""What `trainer.profile` has found, as a record, a table, text and a picture. Matplotlib is imported where it draws."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from lic_exp.atomic import write_atomically, write_json
from lic_exp.csv_text import records_text
from lic_exp.plot_style import encoded, in_style, name_axes, new_figure
from lic_exp.sections import OTHER, PARTS, VALIDATION
from lic_exp.text import size_text, visible
from lic_exp.training.profiling import Profile

Record = Mapping[str, Any]
"""What profile.json holds."""

PICTURE = "profile.png"

COLUMNS = {
    "part": "part",
    "share": "share [%]",
    "host_ms": "host [ms]",
    "device_ms": "device [ms]",
    "begun": "begun",
    "launches": "launches",
}
"""Of the table: keys of a part, and titles. Times and beginnings are means per step, launches those of one."""

HATCHES = {"host_ms": "", "device_ms": "///"}


def record_of(found: Profile, about: Record) -> dict[str, Any]:
    """The record of a profile with at least one timed step; shares are the device's where its times are known.

    about: what was trained, and with what.
    """
    times, steps, launches = found.times, found.steps, found.launches
    seconds = times.device or times.host
    step_s = sum(seconds[part] for part in PARTS) / steps
    parts = [
        {
            "part": part,
            "share": 100 * seconds[part] / steps / step_s,
            "host_ms": 1e3 * times.host[part] / steps,
            "device_ms": 1e3 * times.device[part] / steps if times.device else None,
            "begun": times.begun[part] / steps if part != OTHER else None,
            "launches": launches.by_part[part] if launches else None,
        }
        for part in PARTS
    ]
    rate = None if found.flops is None else found.flops / steps / step_s
    return {
        **about,
        "first_step": found.first_step,
        "steps": steps,
        "step_ms": 1e3 * step_s,
        "images_per_s": found.images / steps / step_s,
        "parts": parts,
        "validation": {"begun": times.begun[VALIDATION], "s": seconds[VALIDATION]},
        "launches": sum(launches.by_part.values()) if launches else None,
        "device_kernels": launches.kernels if launches else None,
        "device_busy_ms": 1e3 * launches.busy_s if launches and launches.busy_s is not None else None,
        "flops_per_step": None if found.flops is None else found.flops / steps,
        "flops_per_s": rate,
        "peak_flops_per_s": found.peak_flops,
        "share_of_peak": 100 * rate / found.peak_flops if rate is not None and found.peak_flops else None,
        "peak_memory": {"bytes": found.memory[0], "where": found.memory[1]} if found.memory else None,
        "missing": found.missing,
    }


def write_report(record: Record, folder: Path) -> None:
    """Write profile.json, .csv, .md and .png, the picture last."""
    write_json(folder / "profile.json", dict(record))
    write_atomically(folder / "profile.csv", records_text(record["parts"], list(COLUMNS)))
    write_atomically(folder / "profile.md", text_of(record))
    write_picture(folder / PICTURE, record)


def table_of(record: Record) -> Table:
    """The parts that took time, as a terminal shows them."""
    titles, *rows = _cells(record)
    table = Table(title=f"where a step of {record['step_ms']:.4g} ms goes")
    for place, title in enumerate(titles):
        table.add_column(title, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    return table


def lines_of(record: Record) -> list[str]:
    """What the table does not say."""
    steps = f"{record['steps']} steps after the first {record['first_step']}"
    found = [
        f"step: {record['step_ms']:.4g} ms, {record['images_per_s']:.4g} images/s; mean of {steps}",
        f"trained: {visible(record['device_name'])}, torch {record['torch']}, {record['threads']} threads, "
        f"{record['precision']}, compile {record['compile']}",
    ]
    if record["validation"]["begun"]:
        found.append(
            f"validation: {record['validation']['begun']} of {record['validation']['s']:.4g} s together, apart"
        )
    if record["flops_per_s"] is not None:
        found.append(_flops_line(record))
    if record["device_kernels"] is not None:
        found.append(
            f"launches: {record['launches']} a step, of {record['device_kernels']} kernels and copies that keep the "
            f"device busy for {record['device_busy_ms']:.4g} ms"
        )
    elif record["launches"] is not None:
        found.append(f"launches: {record['launches']} operators a step, views left out")
    if record["peak_memory"]:
        found.append(f"memory: {size_text(record['peak_memory']['bytes'])} {record['peak_memory']['where']}")
    return found + [f"no {what}: {visible(why)}" for what, why in record["missing"].items()]


def text_of(record: Record) -> str:
    """The same as Markdown."""
    titles, *rows = ["| " + " | ".join(row) + " |" for row in _cells(record)]
    ruler = "|---|" + "---:|" * (titles.count("|") - 2)
    lines = [f"- {line}" for line in lines_of(record)]
    return "\n".join(["# Where a step goes", "", *lines, "", titles, ruler, *rows, ""])


@in_style
def write_picture(path: Path, record: Record) -> None:
    """Write a PNG with a bar for each part that took time, two where the device's times are known beside the host's."""
    parts = [part for part in record["parts"] if part["host_ms"] or part["device_ms"]]
    drawn = [key for key in HATCHES if parts and parts[0][key] is not None]
    height = 0.8 / len(drawn)
    figure = new_figure(7.6, 1.6 + 0.42 * len(parts))
    axes = figure.subplots()
    for place, key in enumerate(drawn):
        bars = axes.barh(
            [number + height * (place - (len(drawn) - 1) / 2) for number in range(len(parts))],
            [part[key] for part in parts],
            height,
            label=key.partition("_")[0],
            color="0.45" if key == "host_ms" else "0.8",
            edgecolor="black",
            linewidth=0.6,
            hatch=HATCHES[key],
        )
        of_shares = key == drawn[-1]
        labels = [f"{part[key]:.3g} ms" + f", {part['share']:.3g} %" * of_shares for part in parts]
        axes.bar_label(bars, labels, padding=4, fontsize=8)
    axes.set_yticks(range(len(parts)), [part["part"] for part in parts])
    axes.invert_yaxis()
    axes.margins(x=0.22)
    name_axes(axes, "time per step [ms]", "", f"{record['name']}: where a step of {record['step_ms']:.4g} ms goes")
    if len(drawn) > 1:
        axes.legend(loc="lower right")
    path.write_bytes(encoded(figure, ".png"))


def _flops_line(record: Record) -> str:
    line = f"arithmetic: {_flops(record['flops_per_step'])}FLOP a step, {_flops(record['flops_per_s'])}FLOP/s"
    if record["share_of_peak"] is None:
        return line
    peak = f"{_flops(record['peak_flops_per_s'])}FLOP/s of matrix products alone, as measured at the start"
    return f"{line}; that is {record['share_of_peak']:.3g} % of the {peak}"


def _flops(count: float) -> str:
    """With the beginning of the unit: 12.3 T."""
    unit, name = (1e12, "T") if count >= 1e12 else (1e9, "G")
    return f"{count / unit:.4g} {name}"


def _cells(record: Record) -> list[Sequence[str]]:
    """Titles and rows of the table: of parts that took time, without columns of which nothing is known."""
    parts = [part for part in record["parts"] if part["host_ms"] or part["device_ms"]]
    keys = [key for key in COLUMNS if any(part[key] is not None for part in parts)]
    rows = [["" if part[key] is None else _cell(part[key]) for key in keys] for part in parts]
    return [[COLUMNS[key] for key in keys], *rows]


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3g}" if isinstance(value, float) else str(value)
