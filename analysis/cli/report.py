"""A report of a sweep, a table or a run: one HTML file that holds all of it.

What was asked, tables with their claims, curves beside others, losses, pictures at equal rate, what failed, and every
run behind the numbers. It fetches nothing, prints well, and follows the reader's light or dark.
"""

import argparse
import shlex
from pathlib import Path

from analysis.arguments import CURVE_HELP, METRIC_HELP, RUN_HELP, add_runs, load_curves, named, out_beside, place_words
from analysis.errors import AnalysisError
from lic_exp.saying import show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help=f"a sweep, a table, or a {RUN_HELP}")
    parser.add_argument("curves", nargs="*", metavar="CURVE", help=f"what to compare with: {CURVE_HELP}")
    parser.add_argument("--anchors", metavar="NAMES", help="codecs measured on the photos of the runs: jpeg,webp,vvc")
    parser.add_argument("--metric", default="psnr", help=METRIC_HELP)
    parser.add_argument(
        "--out", type=Path, metavar="FILE.html", help="default: NAME.html in reports/, of --from RESULTS in that"
    )
    parser.add_argument("--scale", help="of a table: that study of it; default: the newest")
    parser.add_argument("--study", metavar="DIGITS", help="the same by the beginning of its name")
    parser.add_argument(
        "--trust", nargs="+", default=[], metavar="KEY", help="keys in which runs of one arm may differ"
    )
    add_runs(parser)
    parser.set_defaults(images="")


def run(options: argparse.Namespace) -> int:
    if options.out is not None and options.out.suffix not in (".html", ".htm"):
        raise AnalysisError(f"--out={options.out}: a report is written as .html")
    from analysis.out_places import write_out
    from analysis.report.making import report_of
    from analysis.report.page import page
    from analysis.report.subject import subject
    from lic_exp.naming import file_name

    beside = load_curves(options.curves, options)
    with named("--metric"):
        for curve in beside:
            curve.quality(options.metric)
    choices = {key: value for key in ("scale", "study") if (value := getattr(options, key)) is not None}
    of = subject(
        options.name,
        beside=beside,
        runs=options.runs,
        metric=options.metric,
        trusted=options.trust,
        choices=choices,
        anchors=[name.strip() for name in (options.anchors or "").split(",") if name.strip()],
        given=options.curves,
    )
    at = "".join(f" {shlex.quote(word)}" for word in place_words(options))
    named_so = f"{file_name(of.found.title, 100, otherwise='report')}.html"
    out = options.out or out_beside(options, "reports") / named_so
    write_out(out, page(report_of(of, _own_command(options), at)))
    show(f"written: {out}")
    return 0


def _own_command(options: argparse.Namespace) -> str:
    words = ["report", options.name, *options.curves]
    for key in ("anchors", "metric", "scale", "study"):
        value = getattr(options, key)
        if value not in (None, {"metric": "psnr"}.get(key)):
            words += [f"--{key}", str(value)]
    words += place_words(options)
    words += ["--trust", *options.trust] if options.trust else []
    return f"python -m analysis {shlex.join(words)}"
