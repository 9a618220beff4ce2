"""`doctor`: whether this machine has what runs need, and what it has besides."""

import argparse
import sys
from pathlib import Path

from rich.table import Table

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_runs
from lic_exp.console import console_for, styled
from lic_exp.runs import machine

SUMMARY = "check torch, devices, compiler, store, SLURM, disk, locks, clock, git"
DESCRIPTION = f"Check what runs need. Exit code {exit_codes.FAILED}: something they cannot do without is broken."

STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_runs(parser)


def run(options: argparse.Namespace) -> int:
    table = Table("check", "verdict", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("found", overflow="fold")
    console = console_for(sys.stdout)
    verdicts: list[str] = []
    with console.status("looking ..."):
        for name, check in machine.checks(Path(options.runs)).items():
            finding = machine.examine(check)
            verdicts.append(finding.verdict)
            table.add_row(name, styled(finding.verdict, STYLES[finding.verdict]), styled(finding.text))
    console.print(table)
    console.print(", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in STYLES), highlight=False)
    return exit_codes.FAILED if "problem" in verdicts else exit_codes.DONE
