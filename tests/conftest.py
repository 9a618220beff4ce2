"""Runs and packages that many tests look at, made once."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import toy
from commands import SMALL_RUN, called
from PIL import Image


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The cache folder of all tests and of the processes that they start; the user's own is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def room_on_disk() -> Iterator[None]:
    """Decoded photos of tests are kept however full its disk is; tests of a full disk say what is left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lic_exp.data.store_room.LEFT_FREE", 0)
        yield


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """Every test leaves signals as it found them: what a program run in this process ignores, children ignore too."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Two threads of torch's in this process; those of the other tests afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that holds the user package `toy.NAME`, on the path of this process."""
    # A folder whose name means something to a shell, to Hydra and to YAML.
    folder = tmp_path_factory.mktemp("somebody's {own}, folder")
    toy.write_package(folder, toy.NAME, toy.FILES)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train/a.png, train/b.png (96 x 80 pixels) and val/c.png, val/odd.png (odd sides)."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    sizes = {"train/a": (80, 96), "train/b": (80, 96), "val/c": (64, 64), "val/odd": (67, 101)}
    for name, (height, width) in sizes.items():
        coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        path = folder / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(path)
    return folder


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the command line: regularizer, validation, checkpoints, evaluation with pictures."""
    folder = tmp_path_factory.mktemp("small_run")
    done = called("launch.py", *SMALL_RUN, folder=folder)
    assert done.returncode == 0, done.stderr
    (run,) = folder.glob("runs/*/")
    return run
