"""What a user installs: the wheel, the pinned versions, and the virtual environment that `make` sets up."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
from checkout import ROOT, copy_checkout
from file_codecs import pixels
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from lic_exp.places import conf_folder

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run with the caller's environment, less what makes the checkout importable or comes from an outer make."""
    outer = ("PYTHONPATH", "MAKEFLAGS", "MAKELEVEL")
    inherited = {key: value for key, value in os.environ.items() if key not in outer}
    return subprocess.run(command, cwd=cwd, env=inherited | environment, capture_output=True, text=True, check=False)


def files_below(folder: str, renamed: str) -> set[str]:
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {f"{renamed}/{path.relative_to(ROOT / folder).as_posix()}" for path in found}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because setuptools leaves folders behind and picks old ones up."""
    sources = copy_checkout(
        tmp_path_factory.mktemp("sources"), "lic_exp", "analysis", "conf", "pyproject.toml", "README.md", "LICENSE"
    )
    # Without isolation, so that nothing is downloaded: the dev extra brings setuptools.
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", cwd=sources)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (sources / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a virtual environment that has the wheel and borrows the packages it needs.

    A borrowed folder's own .pth files are not read, so an editable install of the checkout stays out.
    """
    environment = tmp_path_factory.mktemp("installed") / "venv"
    assert run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=ROOT).returncode == 0
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    done = run(*pip, "install", "--no-index", "--no-deps", "--disable-pip-version-check", wheel, cwd=environment)
    assert done.returncode == 0, done.stderr
    site = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    borrowed = dict.fromkeys(path for path in sys.path if path.endswith(("site-packages", "dist-packages")))
    (site / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    return python.parent


def test_the_wheel_holds_the_packages_and_the_configuration_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    expected = files_below("lic_exp", "lic_exp") | files_below("analysis", "analysis")
    assert names == expected | files_below("conf", "lic_exp/conf")


def test_the_wheel_carries_its_licence_and_console_script(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (information,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}

    assert archive.read(f"{information}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert b"lic-exp = lic_exp.__main__:main" in archive.read(f"{information}/entry_points.txt")


def test_the_checkout_reads_its_own_configuration() -> None:
    assert conf_folder() == ROOT / "conf"


def test_the_installed_wheel_knows_its_models(installed: Path, tmp_path: Path) -> None:
    code = "import lic_exp; print(lic_exp.__file__, *lic_exp.list_models(), sep='\\n')"

    answer = run(installed / "python", "-c", code, cwd=tmp_path)

    assert answer.returncode == 0, answer.stderr
    source, *models = answer.stdout.split()
    assert Path(source).is_relative_to(installed.parent)
    assert models == sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))


def test_the_installed_command_composes_and_refuses(installed: Path, tmp_path: Path) -> None:
    composed = run(installed / "lic-exp", "launch", "--cfg", "job", "optimizer.lr=3e-4", cwd=tmp_path)
    refused = run(installed / "lic-exp", "launch", "optimizer.lrr=1", cwd=tmp_path)

    assert composed.returncode == 0, composed.stderr
    assert re.search(r"^  lr: 0\.0003$", composed.stdout, flags=re.MULTILINE)
    assert refused.returncode == 2
    assert "optimizer.lrr" in refused.stderr
    assert "Did you mean" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_photo_to_a_file_and_back_in_two_commands(installed: Path, tmp_path: Path) -> None:
    """By the codec that comes with the wheel, and nothing else."""
    photo = Image.fromarray(pixels(120, 90))
    photo.save(tmp_path / "photo.jpg", quality=95)

    coded = run(installed / "lic-exp", "compress", "photo.jpg", cwd=tmp_path)
    shown = run(installed / "lic-exp", "decompress", "photo.lic", cwd=tmp_path)

    assert coded.returncode == 0, coded.stderr
    assert coded.stdout.startswith("photo.lic: 1 file, ")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == "photo.png: 1 picture\n"
    assert {path.name for path in tmp_path.iterdir()} == {"photo.jpg", "photo.lic", "photo.png"}
    with Image.open(tmp_path / "photo.png") as back:
        assert back.size == photo.size


@pytest.mark.slow
def test_the_installed_command_trains(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "lic-exp", "launch", "debug=limit", "data=synthetic", "tracker=none", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    (status,) = (tmp_path / "runs").glob("*/status.json")
    assert '"done"' in status.read_text()


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    # An exact public version: no address, no path, no local build such as +cpu.
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line), line
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def test_every_dependency_is_pinned_to_a_version_it_allows() -> None:
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    pinned = pins()

    for requirement in map(Requirement, wanted):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"constraints.txt has no {requirement.name}"
        assert requirement.specifier.contains(version), f"{requirement} against {version}"


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A folder with the Makefile and with a `shim` that exists but does not run, as pyenv makes them."""
    copy_checkout(tmp_path, "Makefile")
    shim = tmp_path / "shim"
    shim.write_text("#!/bin/sh\necho command not found >&2\nexit 127\n")
    shim.chmod(0o755)
    return tmp_path


@needs_make
def test_make_passes_over_a_python_that_does_not_run(fresh: Path) -> None:
    done = run("make", f"PYTHON=./shim nowhere {sys.executable}", ".venv/bin/pip", cwd=fresh)

    assert done.returncode == 0, done.stdout + done.stderr
    assert (fresh / ".venv" / "bin" / "pip").is_file()


@needs_make
def test_make_says_what_python_it_needs(fresh: Path) -> None:
    done = run("make", "PYTHON=./shim nowhere", ".venv/bin/pip", cwd=fresh)

    assert done.returncode == 2
    assert "None of these is a Python 3.11 or 3.12" in done.stderr
    assert not (fresh / ".venv").exists()
