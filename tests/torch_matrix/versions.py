"""Try every small model on several versions of torch, each in an environment of its own that is removed afterwards.

    python tests/torch_matrix/versions.py [--versions 2.6.0 2.8.0 ...] [--rest] [--folder FOLDER]

Needs about 6 GB of disk and several minutes for each. The last has numpy 2, where compressai asks for an older one.
What is found goes into RESULTS.md beside this file as soon as it is known, in place of what was found before of the
same version; so it can be stopped at any time, and goes on with --rest.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PROBE = Path(__file__).with_name("probe.py")
RESULTS = Path(__file__).with_name("RESULTS.md")
VERSIONS = ("2.6.0", "2.8.0", "2.11.0", "newest", "newest, numpy 2")


def name_of(requirement: str) -> str:
    """As pip compares it."""
    return re.sub(r"[-_.]+", "-", requirement.partition("==")[0]).lower()


def pinned(installed: Sequence[str], pins: Sequence[str]) -> list[str]:
    """Both lists of NAME==VERSION as one: what is installed stays, and torchvision is the one that belongs to torch."""
    settled = {*map(name_of, installed), "torchvision"}
    return [*installed, *(pin for pin in pins if name_of(pin) not in settled)]


def exact(lines: str) -> list[str]:
    return [line for line in lines.splitlines() if re.match(r"[\w.-]+==", line)]


def install(python: str, number: str, numpy: str, folder: Path) -> None:
    """The platform on this torch, with the pins of constraints.txt for all that torch does not bring itself."""
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    # setuptools with it: torch may want one that is not the newest, and CompressAI a newer one than Python brings.
    torch = "torch" if number == "newest" else f"torch=={number}"
    subprocess.run([*pip, "install", "-q", "--upgrade", "setuptools", torch], check=True)
    installed = subprocess.run([*pip, "freeze", "--all"], check=True, capture_output=True, text=True).stdout
    constraints = folder / "constraints.txt"
    constraints.write_text(
        "\n".join(pinned(exact(installed), exact((CHECKOUT / "constraints.txt").read_text()))) + "\n"
    )
    subprocess.run([*pip, "install", "-q", "-c", str(constraints), "torchvision", "-e", str(CHECKOUT)], check=True)
    if numpy:
        # Against compressai's metadata, which is the question.
        subprocess.run([*pip, "install", "-q", "--no-deps", "numpy>=2"], check=True)


def probe(python: str, arguments: Sequence[str], tell: Callable[[str], None]) -> bool:
    """Whether all of it worked; tells each line of the probe's as it comes."""
    command = [python, str(PROBE), *arguments]
    with subprocess.Popen(command, cwd=PROBE.parent, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            tell(line.rstrip("\n"))
    return running.returncode == 0


def try_version(version: str, folder: Path, arguments: Sequence[str], tell: Callable[[str], None]) -> bool:
    """The same in an environment that is made for a version and removed afterwards."""
    number, _, numpy = version.partition(", ")
    place = folder / "venv"
    venv.EnvBuilder(with_pip=True, clear=True).create(place)
    python = str(place / "bin/python")
    try:
        install(python, number, numpy, folder)
        return probe(python, arguments, tell)
    except subprocess.CalledProcessError as error:
        tell(f"Cannot be installed: exit code {error.returncode}.")
        return False
    finally:
        shutil.rmtree(place, ignore_errors=True)


NOT_YET = "not yet"
ATTEMPTS = ("forward, backward", "one graph", "compile=full", "compile=blocks", "coding", "resume")
"""In the order of the table's columns."""


class Found:
    """What is known of a version: the lines above its table and below, and {model: {attempt: what happened}}."""

    def __init__(self, page: str, version: str) -> None:
        self._title = f"torch {version}"
        body = next((part for part in sections(page) if part.partition("\n")[0] == self._title), "")
        self._above: list[str] = []
        self._rows: dict[str, dict[str, str]] = {}
        self._below = re.split(r"^\|.*$", body, flags=re.MULTILINE)[-1].strip() if "|" in body else ""
        columns: list[str] = []
        for line in body.splitlines():
            texts = [text.strip() for text in line.strip("|").split("|")]
            if line.startswith("| model"):
                columns = texts[1:]
            elif line.startswith("| "):
                self._rows[texts[0]] = dict(zip(columns, texts[1:], strict=True))

    def tried(self) -> list[str]:
        """What was tried, as the probe names it."""
        return [f"{name}/{what}" for name, row in self._rows.items() for what, told in row.items() if told != NOT_YET]

    def take(self, line: str) -> None:
        """What a line of the probe's says."""
        cell, tab, happened = line.partition("\t")
        if tab:
            name, _, attempt = cell.partition("/")
            self._rows.setdefault(name, dict.fromkeys(ATTEMPTS, NOT_YET))[attempt] = happened
        else:
            self._above.append(line)

    def on(self, page: str, date: str) -> str:
        """The page in which its section says all this."""
        table = [f"| model | {' | '.join(ATTEMPTS)} |", f"|---|{'---|' * len(ATTEMPTS)}"]
        for name, row in sorted(self._rows.items()):
            table.append(f"| {name} | {' | '.join(row[what] for what in ATTEMPTS)} |")
        parts = ["\n".join([f"{date}. {self._above[0]}", *self._above[1:]]), "\n".join(table), self._below]
        return with_section(page, self._title, "\n\n".join(parts))


def sections(page: str) -> list[str]:
    """The page in Markdown as what stands above all sections, and each of them without its mark."""
    return [part.rstrip() for part in re.split(r"^## ", page, flags=re.MULTILINE)]


def with_section(page: str, title: str, body: str) -> str:
    """A page in which the section of this title says this; it comes last where it is new."""
    head, *others = sections(page)
    new = f"{title}\n\n{body.strip()}"
    kept = [new if section.partition("\n")[0] == title else section for section in others]
    return "\n\n## ".join([head, *kept] if new in kept else [head, *kept, new]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="+", default=VERSIONS, metavar="V", help="of torch")
    parser.add_argument("--rest", action="store_true", help="only what was not tried yet, by RESULTS.md")
    parser.add_argument("--cells", nargs="+", default=[], metavar="MODEL/ATTEMPT", help="only these: dhic_tiny/resume")
    parser.add_argument("--python", help="that of an environment which has the version, instead of a new environment")
    parser.add_argument(
        "--folder", type=Path, help="where the environments are made; a temporary one, if none is given"
    )
    options = parser.parse_args()
    failed = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for version in options.versions:
            print(f"== torch {version}", flush=True)
            found = Found(RESULTS.read_text(), version)
            but = ["--but", *found.tried()] if options.rest and found.tried() else []

            def tell(line: str, found: Found = found) -> None:
                print(line, flush=True)
                found.take(line)
                RESULTS.write_text(found.on(RESULTS.read_text(), f"{datetime.now(UTC):%Y-%m-%d}"))

            arguments = [*options.cells, *but]
            if options.python:
                worked = probe(options.python, arguments, tell)
            else:
                worked = try_version(version, Path(folder), arguments, tell)
            if not worked:
                failed.append(version)
    print(f"failed: {'; '.join(failed)}" if failed else f"all {len(options.versions)} passed")
    return min(len(failed), 1)


if __name__ == "__main__":
    sys.exit(main())
