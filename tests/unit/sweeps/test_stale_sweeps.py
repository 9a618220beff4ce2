"""What a sweep does with cells, and with a copy of the code, that are not of the code that there is now."""

import json
import re
import shutil

import pytest
import torch
import toy
from PIL import Image

from lic_exp.config.errors import ConfigError
from lic_exp.runs.code_hash import KIND, code_hash, forget
from lic_exp.runs.removal import FORMER
from lic_exp.sweeps import control, create
from lic_exp.sweeps.create import sweep_request
from lic_exp.sweeps.folder import COPY, FOLDER, SweepFolder
from lic_exp.sweeps.freezing import freeze
from lic_exp.sweeps.plan import show_plan
from lic_exp.sweeps.states import is_outdated, states
from lic_exp.sweeps.trainings import trainings
from lic_exp.tracking.run_folder import RunFolder

TRAINED = (f"plugins=[{toy.NAME}]", *toy.SHORT_RUN, "seed=0,1,2")
COMMON = (*TRAINED, "evaluation.enabled=false")
CODES = {"stale": [f"{KIND}0123456789abcdef"], "unknown": ["0123456789abcdef"], "current": [code_hash()]}


@pytest.fixture
def asked(toy_folder, tmp_path, monkeypatch):
    """A sweep of three cells, and overrides; its first cells are done, by these codes. Nothing is trained."""
    monkeypatch.chdir(tmp_path)
    started = []

    class Nobody:
        def run(self, sweep, options, cells):
            started.extend(cell.signature for cell in cells)
            return 0

    monkeypatch.setattr(control, "launcher_of", lambda options: Nobody())

    def ask(*overrides, codes=(), common=COMMON):
        request = sweep_request([*common, *overrides], several=True)
        if codes:
            finish(request.write(), codes)
        return request, started

    return ask


def finish(sweep, codes, **status):
    """Have the first cells of a sweep be done, by these codes."""
    for cell, code in zip(sweep.cells, codes, strict=False):
        run = RunFolder(sweep.runs / cell.signature)
        run.create()
        run.config.write_text("{}")
        shown = {"schema_version": 2, "state": "done", "code": CODES.get(code, [code]), "step": 4, "max_steps": 4}
        run.status_file.write_text(json.dumps(shown | status))


SAID = {
    ("stale", "stale", "stale"): "3 cells are stale: made by other code than there is now",
    (
        "stale",
        "current",
        "unknown",
    ): "1 cells are stale: made by other code than there is now; of 1 cells that are done",
    ("current", "unknown", "unknown"): "of 2 cells that are done nothing says which code made them",
}


@pytest.mark.parametrize("codes", SAID)
def test_cells_that_are_not_current_are_kept_refused_or_made_anew(asked, codes, capsys):
    request, started = asked(codes=codes)
    request.run()
    assert f"{SAID[codes]}" in (said := capsys.readouterr().err)
    assert "and kept" in said
    assert started == []
    refusing, _ = asked("trainer.stale=refuse")
    with pytest.raises(ConfigError, match=r"trainer\.stale=refuse: sweep .* (stale|nothing says)"):
        refusing.run()
    again, _ = asked("trainer.stale=again")
    again.run()
    outdated = [cell.signature for cell, code in zip(request.frozen.cells, codes, strict=True) if code != "current"]
    assert started == outdated
    former = request.frozen.runs / FORMER / "1"
    assert sorted(path.name for path in former.iterdir()) == sorted(outdated)
    assert not any((request.frozen.runs / name / "status.json").exists() for name in outdated)


def test_a_plan_counts_what_would_be_made_anew(asked, capsys):
    asked(codes=("stale", "current", "unknown"))
    for override, left in (("trainer.stale=keep", 0), ("trainer.stale=again", 2)):
        request, _ = asked(override)
        show_plan(request)
        assert f"3 cells, {left} to run" in " ".join(capsys.readouterr().out.split())


def test_what_a_search_keeps_or_makes_anew(asked):
    request, _ = asked(codes=("stale", "current", "current"))
    sweep = SweepFolder(request.frozen.folder)
    assert "1 cells are stale" in control.see_to_outdated(sweep, "keep")
    with pytest.raises(ConfigError):
        control.see_to_outdated(sweep, "refuse")
    assert control.see_to_outdated(sweep, "again") == ""
    assert [one.state for one in states(sweep).values()] == ["waiting", "done", "done"]
    assert not any(map(is_outdated, states(sweep).values()))


def test_a_copy_of_the_code_that_is_other_is_said_refused_or_renewed(asked, capsys):
    request, _ = asked("hydra.launcher.snapshot=true")
    sweep = request.write()
    criterion = sweep.folder / COPY / "lic_exp" / "training" / "criterion.py"
    text = criterion.read_text()
    said = "runs its own copy of the code, which is other than there is now"
    for addition, is_said in (("", False), ("\n# A remark.\n", False), ("\nprint(1)\n", True)):
        criterion.write_text(text + addition)
        forget()  # as another process
        asked()[0].write()
        assert (said in capsys.readouterr().err) is is_said
    with pytest.raises(ConfigError, match=f"trainer.stale=refuse: sweep .* {said}"):
        asked("trainer.stale=refuse")[0].write()
    assert criterion.read_text() != text
    asked("trainer.stale=again")[0].write()
    assert criterion.read_text() == text
    asked()[0].write()
    assert said not in capsys.readouterr().err


def test_a_copy_of_the_code_is_whole_whenever_its_renewal_ends(asked, monkeypatch):
    sweep = asked("hydra.launcher.snapshot=true")[0].write()
    api, criterion = (sweep.folder / COPY / "lic_exp" / name for name in ("api.py", "training/criterion.py"))
    criterion.write_text(criterion.read_text() + "\nprint(1)\n")
    forget()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(create, "record_origin", interrupted)
        with pytest.raises(KeyboardInterrupt):
            asked("trainer.stale=again")[0].write()
    assert "print(1)" in criterion.read_text()
    shutil.rmtree(sweep.folder / COPY)
    asked()[0].write()
    assert api.is_file(), "a copy that is gone is made again"
    assert "print(1)" not in criterion.read_text()
    assert sorted(path.name for path in sweep.folder.iterdir() if path.is_dir()) == ["cells", COPY]


def test_a_plan_knows_that_a_copy_of_the_code_would_be_renewed(asked, capsys):
    sweep = asked("hydra.launcher.snapshot=true")[0].write()
    criterion = sweep.folder / COPY / "lic_exp" / "training" / "criterion.py"
    criterion.write_text(criterion.read_text().replace("255", "254", 1))
    forget()
    finish(sweep, [code_hash(root=sweep.folder / COPY)] * 3)
    assert {one.state for one in states(sweep).values()} == {"done"}
    for override, left in (("trainer.stale=keep", 0), ("trainer.stale=again", 3)):
        show_plan(asked(override)[0])
        assert f"3 cells, {left} to run" in " ".join(capsys.readouterr().out.split())
    refused = []
    for what in (show_plan, lambda request: request.run()):
        with pytest.raises(ConfigError, match=r"trainer\.stale=refuse: sweep .* its own copy of the code") as error:
            what(asked("trainer.stale=refuse")[0])
        refused.append(str(error.value))
    assert len(set(refused)) == 1


@pytest.mark.parametrize("code", ["stale", "unknown"])
def test_a_cell_that_is_outdated_may_have_more_to_say(asked, code):
    sweep = SweepFolder(asked()[0].write().folder)
    finish(sweep, [code], numerics=[{"from_step": 3}])
    found = states(sweep)[sweep.cells[0].signature]
    assert "; what its first 3 steps were made with" in found.reason
    assert is_outdated(found)
    assert control.see_to_outdated(sweep, "again") == ""
    assert states(sweep)[sweep.cells[0].signature].state == "waiting"


@pytest.mark.parametrize("code", ["stale", "unknown", "current"])
def test_a_cell_by_other_code_that_is_not_evaluated_is_not_finished(asked, code, capsys):
    request, started = asked(codes=[code] * 3, common=TRAINED)
    sweep = SweepFolder(request.frozen.folder)
    assert {(one.state, is_outdated(one)) for one in states(sweep).values()} == {("waiting", code != "current")}
    request.run()
    assert started == [cell.signature for cell in sweep.cells]
    assert ("and kept" in capsys.readouterr().err) is (code != "current")
    assert not (request.frozen.runs / FORMER).exists()


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("code", ["stale", "unknown"])
def test_a_sweep_that_is_refused_for_its_code_leaves_no_trace(asked, code, is_there):
    request, _ = asked(codes=[code])
    folder = request.frozen.folder
    if not is_there:
        shutil.rmtree(folder.parent)
    before = {path: path.read_bytes() for path in request.frozen.runs.rglob("*") if path.is_file()}
    refused, _ = asked("trainer.stale=refuse")
    for what in (show_plan, lambda request: request.write()):
        with pytest.raises(ConfigError, match=r"trainer\.stale=refuse: sweep"):
            what(refused)
    assert {path: path.read_bytes() for path in request.frozen.runs.rglob("*") if path.is_file()} == before
    assert (request.frozen.runs / FOLDER).exists() is is_there


@pytest.mark.parametrize("code", ["stale", "unknown"])
@pytest.mark.parametrize(
    ("beginning", "message"),
    [("init_from='0123456789abcdef'", "there is no run of this signature"), ("trainer.resume=must", "resume=must")],
)
def test_what_cannot_be_made_anew_is_not_set_aside(asked, monkeypatch, code, beginning, message):
    given = [*COMMON, beginning]
    sweep = freeze(trainings(given, several=True), given).write()
    finish(sweep, [code] * 3)
    asked(beginning)  # kept, it needs nothing
    with pytest.raises(ConfigError, match=message):
        asked(beginning, "trainer.stale=again")
    monkeypatch.setattr(control, "options_of", lambda *_: object())
    with pytest.raises(ConfigError, match=message):
        control.retry(sweep, sweep.cells, stale=True)
    assert not (sweep.runs / FORMER).exists()
    assert all(map(is_outdated, states(sweep).values()))


def test_what_begins_from_a_cell_that_is_made_anew_as_well_can_be(asked, monkeypatch):
    request, started = asked(codes=["stale"] * 3)
    first = request.frozen.cells[0].signature
    chained = f"init_from=null,'{first}'"
    sweep = freeze(trainings([*COMMON, chained], several=True), [*COMMON, chained]).write()
    finish(sweep, ["stale"] * 6)
    asked(chained, "trainer.stale=again")
    monkeypatch.setattr(control, "options_of", lambda *_: object())
    control.retry(sweep, sweep.cells, stale=True)
    assert sorted(started) == sorted(cell.signature for cell in sweep.cells)


def write_photos(folder, count=1):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (64, 64), (9 * number, 50, 70)).save(folder / f"{number}.png")


@pytest.fixture
def files(tmp_path):
    """Weights and images that a sweep is made of."""
    torch.save({"nothing.of.the.toy": torch.zeros(2)}, tmp_path / "weights.pt")
    for name in ("train", "val"):
        write_photos(tmp_path / "photos" / name)


def gone(tmp_path):
    (tmp_path / "weights.pt").unlink()


def others(tmp_path):
    torch.save({"other": torch.ones(3)}, tmp_path / "weights.pt")


def without_images(tmp_path):
    shutil.rmtree(tmp_path / "photos/val")


def with_other_images(tmp_path):
    write_photos(tmp_path / "photos/val", count=3)


OF_WEIGHTS = ("model.weights=weights.pt",)
OF_IMAGES = ("data=folder", "data.train=[photos/train]", "data.val=[photos/val]")


@pytest.mark.parametrize(
    ("own", "happens", "message"),
    [
        (OF_WEIGHTS, lambda _: None, "nothing.of.the.toy"),
        (OF_WEIGHTS, gone, "weights.pt"),
        (OF_WEIGHTS, others, "its images or weights are no longer those"),
        (OF_IMAGES, without_images, "photos/val"),
        (OF_IMAGES, with_other_images, "its images or weights are no longer those"),
    ],
)
@pytest.mark.usefixtures("asked", "files")
def test_files_are_looked_at_before_anything_is_set_aside(tmp_path, monkeypatch, own, happens, message):
    given = [*(text for text in COMMON if own is not OF_IMAGES or text != "data=synthetic"), *own]
    sweep = freeze(trainings(given, several=True), given).write()
    finish(sweep, ["stale"] * 3)
    happens(tmp_path)
    monkeypatch.setattr(control, "options_of", lambda *_: object())
    with pytest.raises(ConfigError, match=re.escape(message)):
        control.retry(sweep, sweep.cells, stale=True)
    assert not (sweep.runs / FORMER).exists()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # where nothing of it is found, it is left to the cells' processes
    control.retry(sweep, sweep.cells, stale=True)
    assert (sweep.runs / FORMER).exists()
