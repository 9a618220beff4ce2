"""Processes that code files end with the one that started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkout import ROOT

from lic_exp.atomic import process_exists

SCRIPT = """
import os, sys, time
from pathlib import Path
from torch import nn
from lic_exp.files.batch import ManyFiles
from lic_exp.files.pairs import Pair

def load():
    Path(f"{os.getpid()}.pid").touch()
    return nn.Linear(1, 1)

def work(codec, pair):
    time.sleep(600)

if __name__ == "__main__":
    list(ManyFiles([Pair(Path("a"), Path("b"))] * 2, load, work, 2))
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_none_is_left_behind(tmp_path: Path, ending: signal.Signals) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    here = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, env=here, stderr=subprocess.DEVNULL) as main:
        try:
            while main.poll() is None and len(list(tmp_path.glob("*.pid"))) < 3:
                time.sleep(0.05)
        finally:
            main.send_signal(ending)
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
