"""`explain`: what a run is, by what it differs in from the defaults and from another run."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lic_exp.launching.errors import ConfigError
from lic_exp.launching.verbs import add_runs

if TYPE_CHECKING:
    from lic_exp.launching.verbs import Verbs

LABELS = ("name", "variant", "tags", "plugins", "paths.runs")
"""Keys that name a run and change nothing in it."""


def add_parser(verbs: "Verbs") -> None:
    parser = verbs.add_parser(
        "explain",
        help="what a signature stands for: differences from the defaults and from another run",
        description="What a run or a cell that has not begun differs in, from the defaults and from another.",
    )
    parser.add_argument("run", metavar="SIGNATURE", help="of a run or of a sweep's cell, or its beginning")
    parser.add_argument("other", metavar="OTHER", nargs="?", help="another, to compare with")
    add_runs(parser)
    parser.set_defaults(verb=_explain)


def _explain(options: argparse.Namespace) -> int:
    from lic_exp.launching.compose import compose
    from lic_exp.launching.overrides import parse
    from lic_exp.launching.summary import console_for
    from lic_exp.launching.validation import validate

    console = console_for(sys.stdout)
    signature, config, places = find_config(options.run, options.runs)
    lines = [f"run {signature}", *(f"  {place}" for place in places)]
    lines += ["differs from the defaults in", *_shown(config, validate(compose(parse([]))), "default")]
    if options.other is not None:
        other, config_of_other, _ = find_config(options.other, options.runs)
        lines += [f"differs from {other} in", *_shown(config, config_of_other, other[:8])]
        lines += ["  none of it is signed: they are one run"] if other == signature else []
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    return 0


def find_config(name: str, runs: str) -> tuple[str, dict[str, Any], list[str]]:
    """(signature, config, what is known of it) of a run, or of a cell of any sweep. Raises ConfigError."""
    from lic_exp.launching.run import find_run, run_folders
    from lic_exp.launching.sweeps.folder import sweeps

    cells = [(sweep, cell) for sweep in sweeps(runs) for cell in sweep.cells if cell.signature.startswith(name)]
    folders = run_folders(runs) if Path(runs).is_dir() else []
    known = {cell.signature for _, cell in cells} | {path.name for path in folders if path.name.startswith(name)}
    if len(known) > 1:
        raise ConfigError([f"{name} could be any of {', '.join(sorted(known))}: give more digits"])
    places = [f"cell {cell.label} of sweep {sweep.name}" for sweep, cell in cells]
    if known & {path.name for path in folders} or not cells:
        run = find_run(name, runs)
        return run.signature, run.config, [f"{run.state}, in {run.folder}", *places]
    sweep, cell = cells[-1]
    try:
        frozen = json.loads(sweep.frozen(cell).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError([f"{sweep.frozen(cell)} cannot be read: {error}"]) from error
    return cell.signature, frozen["config"], ["not begun", *places]


def differences(config: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    """{key: (value here, value there)} of every key that differs; None where one has no such key."""
    from lic_exp.tracking.mlflow_store import flatten

    here, there = flatten(config), flatten(other)
    return {key: (here.get(key), there.get(key)) for key in {**there, **here} if here.get(key) != there.get(key)}


def _shown(config: Mapping[str, Any], other: Mapping[str, Any], title: str) -> Iterator[str]:
    found = differences(config, other)
    for key, (here, there) in found.items():
        label = "  (a label)" if key in LABELS else ""
        if here is None:
            yield f"  no {key}  ({title}: {there}){label}"
        else:
            yield f"  {key}={here}  ({title}: {'none' if there is None else there}){label}"
    if not found:
        yield "  nothing"
