"""Run folders on a disk that cannot be written to: what only reads works, all else is refused in a line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from commands import QUICK
from PIL import Image

from lic_exp import exit_codes

RUN = ("model=factorized_tiny", *QUICK, "trainer.max_steps=1", "paths.runs=disk/runs")
SEARCH = ("optimizer.lr=interval(1e-4,1e-3)", "hydra/sweeper=search", "hydra.sweeper.trials=1")

REFUSED = {
    "eval": ["lic_exp", "eval", "{run}"],
    "eval of other images": ["lic_exp", "eval", "{run}", "--data", "images"],
    "eval to there": ["lic_exp", "eval", "{run}", "--out", "disk/out"],
    "export": ["lic_exp", "export", "{run}"],
    "rm": ["lic_exp", "rm", "{run}", "--yes"],
    "gc": ["lic_exp", "gc", "--runs", "disk/runs", "--yes"],
    "extend": ["lic_exp", "extend", "{run}", "trainer.max_steps=2"],
    "a new run": ["launch", *RUN, "seed=7"],
    "a run in a folder that is not there": ["launch", *RUN, "paths.runs=disk/more/runs"],
    "another evaluation": ["launch", *RUN, "evaluation.enabled=true", "evaluation.data=images"],
    "a sweep": ["launch", "-m", *RUN, "seed=7,8"],
    "a sweep that is done": ["launch", "-m", *RUN, "seed=0"],
    "a sweep in a folder that is not there": ["launch", "-m", *RUN, "seed=7,8", "paths.runs=disk/more"],
    "a search": ["launch", "-m", *RUN, *SEARCH],
    "a row of a table": ["launch", "experiment=table2", "scale=mini", "variant=naive", "paths.runs=disk/runs"],
    "verify to there": [
        *("lic_exp", "verify", "{run}/checkpoints/best.pt", "--model", "factorized_tiny", "--data", "images"),
        *("--out", "disk/out"),
    ],
}
WORKS = {
    "a run that is done": ["launch", *RUN],
    "eval to elsewhere": ["lic_exp", "eval", "{run}", "--out", "elsewhere"],
    "export to elsewhere": ["lic_exp", "export", "{run}", "--out", "elsewhere.pth"],
    "ls": ["lic_exp", "ls", "--runs", "disk/runs"],
    "show": ["lic_exp", "show", "{run}"],
    "plan": ["launch", "-m", *RUN, "seed=7,8", "plan=true"],
    "sync": ["lic_exp", "sync", "--runs", "disk/runs"],
}

# Trains one run, makes its disk read-only, and runs each command line of argv[1] (JSON); prints [exit code, words].
PROBE = """
import contextlib, io, json, pathlib, subprocess, sys
from lic_exp import __main__ as commands
from lic_exp.cli import launch
mains = {"launch": launch.main, "lic_exp": commands.main}
first, *lines = json.loads(sys.argv[1])
assert launch.main(first) == 0
run = str(next(pathlib.Path("disk/runs").glob("*/config.yaml")).parent)
subprocess.run(["mount", "--bind", "disk", "disk"], check=True)
subprocess.run(["mount", "-o", "remount,ro,bind", "disk"], check=True)
seen = []
for which, *arguments in lines:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            code = mains[which]([text.format(run=run) for text in arguments])
        except Exception as error:
            code, _ = -1, said.write(f"Traceback: {error!r}")
    seen.append([code, said.getvalue()])
print("PROBED", json.dumps(seen))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with the folder that is to be such a disk, and an image."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "images").mkdir()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(tmp_path / "images" / "a.png")
    return tmp_path


@pytest.mark.slow
def test_what_would_write_there_is_refused_in_a_line_and_what_only_reads_works(folder):
    """All in one process, in a mount namespace of its own."""
    own = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*own, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nobody may mount anything here")
    cases = REFUSED | WORKS
    done = subprocess.run(
        [*own, sys.executable, "-c", PROBE, json.dumps([RUN, *cases.values()])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = dict(zip(cases, json.loads(done.stdout.rpartition("PROBED ")[2]), strict=True))
    told = ("cannot be made or written to: ", "cannot be written: ")
    refused = {case: any(text in said and "disk/" in said for text in told) for case, (_, said) in seen.items()}
    assert {case: seen[case] for case in REFUSED if seen[case][0] != exit_codes.CONFIG or not refused[case]} == {}
    assert {case: seen[case] for case in WORKS if seen[case][0] != exit_codes.DONE} == {}
    assert [said for _, said in seen.values() if "Traceback" in said] == []
    assert (folder / "elsewhere" / "images.csv").is_file()
