"""Processes that code files end with the one that started them, and begin nothing more after Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import ROOT

from lic_exp.atomic import process_exists

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from torch import nn
from lic_exp.files.batch import CodedFile, ManyFiles
from lic_exp.files.pairs import Pair

def load():
    Path(f"{os.getpid()}.pid").touch()
    return nn.Linear(1, 1)

def work(codec, pair):
    Path(f"{pair.source}.begun").touch()
    while not Path("go on").exists():
        time.sleep(0.05)
    return CodedFile(pair)

def interrupted(*_):
    Path("heard").touch()
    raise KeyboardInterrupt

if __name__ == "__main__":
    signal.signal(signal.SIGINT, interrupted)
    try:
        list(ManyFiles([Pair(Path(str(number)), Path("b")) for number in range(40)], load, work, 2))
    except KeyboardInterrupt:
        sys.exit(77)
"""


@pytest.fixture
def main(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Codes 40 pictures by two processes, of which each has begun one; in a group of its own."""
    (tmp_path / "script.py").write_text(SCRIPT)
    how = {"cwd": tmp_path, "env": dict(os.environ) | {"PYTHONPATH": str(ROOT)}, "start_new_session": True}
    with subprocess.Popen([sys.executable, "script.py"], stderr=subprocess.DEVNULL, **how) as process:
        while process.poll() is None and len(list(tmp_path.glob("*.begun"))) < 2:
            time.sleep(0.05)
        yield process
        process.kill()


def test_ctrl_c_waits_for_what_is_in_work_alone(tmp_path: Path, main: subprocess.Popen) -> None:
    """A terminal sends it to all processes of a group."""
    os.killpg(main.pid, signal.SIGINT)
    while main.poll() is None and not (tmp_path / "heard").exists():
        time.sleep(0.05)
    (tmp_path / "go on").touch()
    assert main.wait(timeout=60) == 77
    assert sorted(path.stem for path in tmp_path.glob("*.begun")) == ["0", "1"]


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_none_is_left_behind(tmp_path: Path, main: subprocess.Popen, ending: signal.Signals) -> None:
    main.send_signal(ending)
    main.wait()
    workers = {int(path.stem) for path in tmp_path.glob("*.pid")} - {main.pid}
    assert len(workers) == 2
    try:
        for _ in range(400):
            if not any(map(process_exists, workers)):
                return
            time.sleep(0.05)
        pytest.fail("they are still there")
    finally:
        for worker in filter(process_exists, workers):
            os.kill(worker, signal.SIGKILL)
