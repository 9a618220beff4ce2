"""Every command of docs/from_an_hpcm_fork.md runs as it stands there, but for model, images and number of steps."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from checkout import ROOT
from commands import called, finish, start
from documents import command_lines, write_package
from PIL import Image
from sweeping import sweep_in

from lic_exp.progress import Progress
from lic_exp.spectral_reg.intra_scale import IntraScale

TEXT = (ROOT / "docs/from_an_hpcm_fork.md").read_text()
SECTIONS = {
    section.partition("\n")[0]: commands
    for section in re.split(r"^## ", TEXT, flags=re.MULTILINE)
    if (commands := list(command_lines(section)))
}
COMPARED = "Baseline against phase 1"
METRICS = set(re.findall(r"`((?:train|val|spectral)/\w+)`", TEXT))

ANYWHERE = ("tracker=none", "trainer.device=cpu", "trainer.threads=1")
SMALL = (
    *("data.crop_size=128", "data.batch_size=4", "data.num_workers=0", "data.steps_per_epoch=1", "data.val_limit=1"),
    *("trainer.max_epochs=2", "trainer.validate_every_steps=1", "trainer.log_every_steps=1", "trainer.try_step=false"),
    *("data.val_crop_size=null", "evaluation.pictures=0", *ANYWHERE),
)
"""What makes a run of a recipe tiny."""

WITHOUT_NUMBER = {"bdrate", "speedup"}
"""Verbs that may say, with exit code 2, that two steps of training bear no number."""


class Page:
    """A folder in which the page's commands are given.

    names: the placeholders of the page so far, and the runs that they stand for.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, str] = {}
        write_package(folder)
        random = np.random.default_rng(0)
        for name in ("train/a", "train/b", "val/c", "kodak/d"):
            coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            path = folder / f"images/{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse.resize((192, 176), Image.Resampling.BICUBIC).save(path)

    def give(self, command: str) -> None:
        """Run a command of the page, made small: what trains in a process of its own. Fails where it does."""
        words = [self._replaced(word) for word in shlex.split(command, comments=True)[1:]]
        if words[0] == "launch.py":
            words = [str(ROOT / "launch.py"), *words[1:], *_additions(words)]
            done = finish(start(*words, folder=self.folder, path=self.folder))
        else:
            done = called(*words[1:], folder=self.folder)
        said = f"{command}\n{shlex.join(words)}\n{done.stdout}{done.stderr}"
        assert done.returncode in ({0, 2} if words[2] in WITHOUT_NUMBER else {0}), said
        assert "Traceback" not in said
        if "-m" in words[1:2] and "plan=true" not in words:
            self._name_runs()

    def compare(self) -> None:
        """Have the two runs that other sections speak of."""
        if "PHASE1" not in self.names:
            for command in SECTIONS[COMPARED]:
                self.give(command)

    def _replaced(self, word: str) -> str:
        for found, used in {
            "model=hpcm_base": "model=hpcm_tiny",
            "/images": str(self.folder / "images"),
            "max_epochs=3500": "max_epochs=3",
            **self.names,
        }.items():
            word = word.replace(found, used)
        return word

    def _name_runs(self) -> None:
        """Take the names of the newest sweep's runs."""
        cells = sweep_in(self.folder).cells
        self.names |= {f"RUN{i}": cell.signature for i, cell in enumerate(cells, start=1)}
        of_arm = {"none": "BASELINE", "intra": "PHASE1"}
        self.names |= {
            of_arm[arm]: cell.signature for cell in cells if (arm := cell.role.get("spectral_reg")) in of_arm
        }


def _additions(words: list[str]) -> list[str]:
    if "debug=limit" in words:
        return list(ANYWHERE)
    model = [] if any(word.startswith("model=") for word in words) else ["model=hpcm_tiny"]
    return [*model, *SMALL, *(["hydra.launcher.slots=2"] if "-m" in words else [])]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("fork")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield Page(folder)


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_commands_run(section: str, page: Page) -> None:
    if "PHASE1" in str(SECTIONS[section]) and section != COMPARED:
        page.compare()
    for command in SECTIONS[section]:
        page.give(command)


@pytest.mark.slow
def test_what_to_watch_is_logged(page: Page) -> None:
    page.compare()
    lines = (page.folder / "runs" / page.names["PHASE1"] / "metrics.jsonl").read_text().splitlines()
    logged = {name for line in lines for name in json.loads(line)}
    # Of the other phase, and of steps that were left out.
    assert METRICS - {"spectral/inter_share", "train/skipped_steps"} <= logged


def test_sections_are_those_of_the_old_guide() -> None:
    assert [*SECTIONS] == [
        "Check the installation",
        COMPARED,
        "Where tau starts",
        "How long the truncation lasts",
        "Four lambdas",
        "Resuming",
        "What to watch",
        "The two pictures",
        "Out of memory, slow, NaN",
        "An experiment of your own, with what you expect",
    ]


def test_tau_moves_as_the_page_says() -> None:
    stage = IntraScale(
        tau_init=0.05,
        tau_final=1.0,
        schedule="linear",
        truncation_length=100,
        truncation_unit="epoch",
        truncation_start=0,
        mask="soft",
        target="truncated",
    )
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \|$", TEXT, re.MULTILINE)
    assert rows
    for epoch, tau in rows:
        stage.set_progress(Progress(step=0, epoch=int(epoch), share=0.0))
        assert stage.scalars()["spectral/tau"] == pytest.approx(float(tau), abs=0.005)
