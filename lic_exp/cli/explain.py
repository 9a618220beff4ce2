"""`explain`: what a run is, by what it differs in from the defaults or from another run."""

import argparse
from collections.abc import Iterator

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_runs
from lic_exp.config.differences import LABELS, Differences, differences, of_what_is_there
from lic_exp.config.loading import load_config
from lic_exp.saying import show
from lic_exp.sweeps.finding import find_config

SUMMARY = "what a signature stands for: differences from the defaults, or from another run"
DESCRIPTION = "What a run or a cell that has not begun differs in: from the defaults, or from another one."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="SIGNATURE", help="of a run or of a sweep's cell, or its beginning")
    parser.add_argument("other", metavar="OTHER", nargs="?", help="what it is compared with (default: the defaults)")
    add_runs(parser)


def run(options: argparse.Namespace) -> int:
    signature, config, places = find_config(options.run, options.runs)
    lines = [f"run {signature}", *(f"  {place}" for place in places)]
    if options.other is None:
        found = of_what_is_there(differences(config, load_config([]).plain()))
        lines += ["differs from the defaults in", *_rows(found, "default")]
    else:
        other = find_config(options.other, options.runs)
        lines += [f"differs from run {other.signature} in"]
        lines += _rows(differences(config, other.config), other.signature[:8])
        lines += ["  none of it is signed: they are one run"] if other.signature == signature else []
    show(*lines)
    return exit_codes.DONE


def _rows(differing: Differences, title: str) -> Iterator[str]:
    """One line per key that differs. title: what the other config is called."""
    for key, (here, there) in differing.items():
        label = "  (a label)" if key in LABELS else ""
        if here is None:
            yield f"  no {key}  ({title}: {there}){label}"
        else:
            yield f"  {key}={here}  ({title}: {'none' if there is None else there}){label}"
    if not differing:
        yield "  nothing"
