"""The code of a scratch copy is changed after its runs were made: all that shows them says so, or nothing does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import copy_checkout

from lic_exp import exit_codes
from lic_exp.runs.removal import FORMER

pytestmark = pytest.mark.slow

TABLE = """# @package _global_
# Two rows.
table:
  title: Two rows
  paper: nobody
  baseline: naive
  seeds: [0]
  variants:
    naive: {label: naive, overrides: [spectral_reg=none]}
    intra: {label: intra, overrides: [spectral_reg=intra, spectral_reg.truncation_length=1]}
"""
SMALL = (
    *("experiment=two_rows", "model=hyperprior_tiny", "data=synthetic", "data.val_crop_size=64", "data.val_limit=1"),
    *("data.steps_per_epoch=2", "trainer.max_steps=4", "trainer.validate_every_steps=2", "evaluation.limit=1"),
    *("tracker=none", "trainer.threads=1", "trainer.device=cpu", "trainer.try_step=false"),
)
FROM_PYTHON = "import lic_exp, sys; run = lic_exp.run(sys.argv[1:]); print('CODE', run.code, run.state)"
LISTED = "import lic_exp; print(list(lic_exp.list_runs('runs')['code']))"
MODEL = '"""Another codec."""\n\nfrom lic_exp.models.base import Codec\n\n\nclass Another(Codec):\n    N = 3\n'
COMMAND = '"""Another command."""\n\nSUMMARY = "another"\n\n\ndef run(options):\n    return 0\n'
CRITERION = "lic_exp/training/criterion.py"


class Scratch:
    """A copy of the checkout with runs that its code has made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.copy = copy_checkout(folder / "copy", "lic_exp", "analysis", "conf", "launch.py")
        (self.copy / "conf/experiment/two_rows.yaml").write_text(TABLE)

    def python(self, *words: str, code: int = 0) -> str:
        """What a command of Python says in all; code: what it leaves with."""
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.copy)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return " ".join((done.stdout + done.stderr).split())

    def launch(self, *overrides: str, code: int = 0) -> str:
        return self.python(str(self.copy / "launch.py"), *overrides, *SMALL, code=code)

    def change(self, file: str, before: str, after: str) -> None:
        path = self.copy / file
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))

    def places(self) -> dict[str, str]:
        """What each place where runs are shown says of them."""
        table = self.python("-m", "analysis", "ablation", "two_rows", "--trace")
        return {
            "a launch": self.launch("variant=intra"),
            "Python": self.python("-c", FROM_PYTHON, "variant=naive", *SMALL),
            "a sweep": self.launch("-m"),
            "ls": self.python("-m", "lic_exp", "ls"),
            "status": self.python("-m", "lic_exp", "status"),
            "list_runs": self.python("-c", LISTED),
            "the table": table.partition("where the numbers come from")[0],
            "its trace": table.partition("where the numbers come from")[2],
            **{path.suffix: path.read_text() for path in (self.folder / "tables").glob("two_rows*.[hm]*")},
            "the curves": self.python("-m", "analysis", "rd", "runs"),
            "the sweep's analysis": self.python("-m", "analysis", "sweep"),
        }


def is_stale(text: str) -> bool:
    return re.search(r"\bstale\b", text) is not None


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    made = Scratch(tmp_path_factory.mktemp("scratch"))
    made.launch("-m")
    return made


def test_code_that_changed_is_said_everywhere_and_runs_can_be_made_anew(scratch: Scratch) -> None:
    (scratch.copy / "lic_exp/models/another.py").write_text(MODEL)
    (scratch.copy / "lic_exp/cli/another.py").write_text(COMMAND)
    scratch.change(CRITERION, '"""', '"""In other words: ')
    scratch.change("lic_exp/training/trainer.py", "\nclass ", "\n# A remark.\nclass ")
    said = scratch.places()
    assert len(said) == 12
    assert [place for place, text in said.items() if is_stale(text)] == []

    scratch.change(CRITERION, "255", "254")
    said = scratch.places()
    assert [place for place, text in said.items() if not is_stale(text)] == []
    told = r"is done; stale: made by other code than there is now \(changed: .*lic_exp\.training\.criterion\.MSE\)"
    assert re.search(told, said["a launch"])
    assert "CODE stale done" in said["Python"]
    assert "2 cells are stale" in said["a sweep"]
    assert "all runs are stale" in said["the table"]
    assert "of different code" not in said["the table"]

    for words in (["variant=intra"], ["-m"]):
        refused = scratch.launch(*words, "trainer.stale=refuse", code=exit_codes.CONFIG)
        assert "trainer.stale=refuse: " in refused

    anew = scratch.launch("variant=intra", "trainer.stale=again")
    (kept,) = (scratch.folder / "runs" / FORMER / "1").iterdir()
    assert f"it is kept in runs/{FORMER}/1/{kept.name}, and made anew" in anew
    assert (kept / "checkpoints" / "best.pt").is_file()
    assert len(list((scratch.folder / "runs").glob("*/status.json"))) == 2
    said = scratch.places()
    assert "stale" not in said["a launch"]
    assert "1 of 2 runs is stale" in said["the table"]
    told = "intra: it is of other code than what it is compared with: 1 run by the code there is now"
    assert told in said["the table"]
    assert "so this mixes runs of different code" in said["the curves"]

    scratch.launch("-m", "trainer.stale=again")
    said = scratch.places()
    assert [place for place, text in said.items() if is_stale(text)] == []
