"""Try every small model on several versions of torch, each in an environment of its own that is removed afterwards.

    python tests/torch_matrix/versions.py [--versions 2.6.0 2.8.0 ...] [--folder FOLDER]

Needs about 6 GB of disk and several minutes for each. The last has numpy 2, where compressai asks for an older one.
What was found goes into RESULTS.md beside this file, where it takes the place of what was found before of the same
version.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
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
    subprocess.run([*pip, "install", "-q", "torch" if number == "newest" else f"torch=={number}"], check=True)
    installed = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    constraints = folder / "constraints.txt"
    constraints.write_text(
        "\n".join(pinned(exact(installed), exact((CHECKOUT / "constraints.txt").read_text()))) + "\n"
    )
    subprocess.run([*pip, "install", "-q", "-c", str(constraints), "torchvision", "-e", str(CHECKOUT)], check=True)
    if numpy:
        # Against compressai's metadata, which is the question.
        subprocess.run([*pip, "install", "-q", "--no-deps", "numpy>=2"], check=True)


def tried(version: str, folder: Path) -> tuple[bool, str]:
    """Whether everything worked with it, and what happened, in Markdown; tracebacks go to stderr."""
    number, _, numpy = version.partition(", ")
    place = folder / "venv"
    venv.EnvBuilder(with_pip=True, clear=True).create(place)
    python = str(place / "bin/python")
    try:
        install(python, number, numpy, folder)
        done = subprocess.run([python, str(PROBE)], check=False, cwd=folder, stdout=subprocess.PIPE, text=True)
        return done.returncode == 0, done.stdout
    except subprocess.CalledProcessError as error:
        return False, f"Cannot be installed: exit code {error.returncode}.\n"
    finally:
        shutil.rmtree(place, ignore_errors=True)


def with_section(text: str, title: str, body: str) -> str:
    """A page in Markdown in which the section of this title says this; it comes last where it is new."""
    head, *sections = (part.rstrip() for part in re.split(r"^## ", text, flags=re.MULTILINE))
    new = f"{title}\n\n{body.strip()}"
    kept = [new if section.partition("\n")[0] == title else section for section in sections]
    return "\n\n## ".join([head, *kept] if new in kept else [head, *kept, new]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="+", default=VERSIONS, metavar="V", help="of torch")
    parser.add_argument(
        "--folder", type=Path, help="where the environments are made; a temporary one, if none is given"
    )
    options = parser.parse_args()
    failed = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for version in options.versions:
            print(f"== torch {version}", flush=True)
            worked, told = tried(version, Path(folder))
            print(told, flush=True)
            dated = f"{datetime.now(UTC):%Y-%m-%d}. {told}"
            RESULTS.write_text(with_section(RESULTS.read_text(), f"torch {version}", dated))
            if not worked:
                failed.append(version)
    print(f"failed: {'; '.join(failed)}" if failed else f"all {len(options.versions)} passed")
    return min(len(failed), 1)


if __name__ == "__main__":
    sys.exit(main())
