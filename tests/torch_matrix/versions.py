"""Try every small model on several versions of torch, each in an environment of its own that is removed afterwards.

    python tests/torch_matrix/versions.py [--versions 2.6.0 2.8.0 ...] [--folder FOLDER]

Needs about 6 GB of disk and several minutes for each. The last has numpy 2, where compressai asks for an older one.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PROBE = Path(__file__).with_name("probe.py")
VERSIONS = ("2.6.0", "2.8.0", "2.11.0", "newest", "newest, numpy 2")
OF_TORCH = ("nvidia-", "torch", "triton", "cuda-")
"""How the names of what comes with a torch begin; pip finds those that go with another one."""


def pinned(folder: Path) -> Path:
    """constraints.txt without what comes with torch."""
    lines = (CHECKOUT / "constraints.txt").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(OF_TORCH) or line.startswith("torch-geometric")]
    path = folder / "constraints.txt"
    path.write_text("\n".join(kept) + "\n")
    return path


def tried(version: str, folder: Path) -> bool:
    """Whether everything worked with it; what happened goes to stdout."""
    number, _, numpy = version.partition(", ")
    place = folder / "venv"
    venv.EnvBuilder(with_pip=True, clear=True).create(place)
    python = str(place / "bin/python")
    torch = ["torch", "torchvision"] if number == "newest" else [f"torch=={number}", "torchvision"]
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    try:
        subprocess.run([*install, "-c", str(pinned(folder)), *torch, "-e", str(CHECKOUT)], check=True)
        if numpy:
            # Against compressai's metadata, which is the question.
            subprocess.run([*install, "--no-deps", "numpy>=2"], check=True)
        return subprocess.run([python, str(PROBE)], check=False, cwd=folder).returncode == 0
    except subprocess.CalledProcessError as error:
        print(f"cannot be installed: exit code {error.returncode}")
        return False
    finally:
        shutil.rmtree(place, ignore_errors=True)


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
            if not tried(version, Path(folder)):
                failed.append(version)
    print(f"failed: {'; '.join(failed)}" if failed else f"all {len(options.versions)} passed")
    return min(len(failed), 1)


if __name__ == "__main__":
    sys.exit(main())
