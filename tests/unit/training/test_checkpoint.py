"""Checkpoint files: whole or not there, checked before they are believed, and never executed."""

import errno
import logging
import os
import random
import zipfile
from functools import partial

import pytest
import torch
from training_parts import Gain, everything, objective, stage, trainer, unequal

from lic_exp import atomic
from lic_exp.models.file_digest import COMMENT_BYTES, MARK, is_as_written
from lic_exp.models.files import CheckpointError, load_safely, save_whole
from lic_exp.training.checkpoint import Checkpoints, load_checkpoint

STATE = {"step": 1, "codec": {"weight": torch.arange(2000.0)}}


def state(step):
    return STATE | {"step": step}


@pytest.fixture
def checkpoints(tmp_path):
    """Steps 10, 20 and 30 saved, of which the last two are kept, and a best one."""
    saved = Checkpoints(tmp_path / "checkpoints", "me")
    for step in (10, 20, 30):
        saved.save_step(step, state(step))
    saved.save_best(state(20))
    return saved


def names(checkpoints):
    return sorted(path.name for path in checkpoints.folder.iterdir())


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def test_the_last_two_and_the_best_are_kept(checkpoints):
    assert names(checkpoints) == ["best.pt", "step_00000020.pt", "step_00000030.pt"]
    assert checkpoints.load_newest()["step"] == 30
    assert load_checkpoint(checkpoints.best)["step"] == 20


def test_no_checkpoint_is_no_error(tmp_path):
    assert Checkpoints(tmp_path / "none", "me").load_newest() is None


def test_clear_starts_over(checkpoints):
    checkpoints.clear()
    assert names(checkpoints) == []


def sampled_bits(path):
    """A bit of every byte of the archive's directory and of what follows it, and some 200 before."""
    content, rng = path.read_bytes(), random.Random(0)
    with zipfile.ZipFile(path) as archive:
        begin = archive.start_dir
    places = [*rng.sample(range(begin), 200), *range(begin, len(content))]
    return [(place, rng.randrange(8)) for place in places]


def outcomes(path, load, flipped):
    """How often a file is refused with a bit flipped; where it is read, it must be read as it was."""
    whole, expected, refused = path.read_bytes(), load(path), 0
    for place, bit in flipped:
        content = bytearray(whole)
        content[place] ^= 1 << bit
        path.write_bytes(content)
        try:
            found = load(path)
        except CheckpointError:
            refused += 1
        else:
            assert unequal(found, expected) == [], (place, bit)
    path.write_bytes(whole)
    return refused


@pytest.mark.parametrize("best", [False, True], ids=["step", "best"])
def test_a_flipped_bit_is_noticed_wherever_it_is(checkpoints, best):
    path = checkpoints.best if best else checkpoints.steps()[-1]
    bits = sampled_bits(path)
    assert outcomes(path, load_checkpoint, bits) == len(bits)


def test_in_weights_it_is_noticed_or_means_nothing(tmp_path):
    """Of a file that cannot say that it should have a digest, the mark before it can be damaged."""
    path = tmp_path / "weights.pt"
    save_whole(STATE["codec"], path)
    bits = sampled_bits(path)
    assert outcomes(path, load_safely, bits) == len(bits) - len(MARK)


def without_digest(path, content):
    """As they were written before there was one."""
    with open(path, "wb") as file:
        torch.save({"format": 1, "identity": "me", **content}, file)


def test_in_an_earlier_checkpoint_too(tmp_path):
    """Bit 4 is the one that marks a folder, in one byte of each part's entry."""
    path = tmp_path / "step_00000001.pt"
    without_digest(path, STATE)
    bits = {place: 4 for place, _ in sampled_bits(path)}
    assert outcomes(path, load_checkpoint, list(bits.items())) > 200


def test_a_part_that_would_not_be_read_at_all_is_named(checkpoints, caplog):
    for path in checkpoints.steps():
        without_digest(path, STATE)
    newest = checkpoints.steps()[-1]
    content = bytearray(newest.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"archive/data/0"))
    content[entry + 38] ^= 0x10
    newest.write_bytes(content)

    assert unequal(checkpoints.load_newest()["codec"], STATE["codec"]) == []

    assert f"{newest} is damaged: its part archive/data/0 is marked as a folder" in caplog.text


def test_a_digest_is_passed_over_by_whoever_does_not_know_it(checkpoints):
    """So that weights can be read without this package."""
    for path in (checkpoints.best, checkpoints.steps()[-1]):
        assert is_as_written(path)
        for mapped in (False, True):
            assert torch.equal(torch.load(path, mmap=mapped)["codec"]["weight"], STATE["codec"]["weight"])


@pytest.mark.parametrize("cut", [1, 64, 70, COMMENT_BYTES])
def test_a_checkpoint_that_has_lost_its_digest_is_refused(checkpoints, caplog, cut):
    newest = checkpoints.steps()[-1]
    newest.write_bytes(newest.read_bytes()[:-cut])
    assert checkpoints.load_newest()["step"] == 20
    assert f"{newest} is damaged" in caplog.text


@pytest.mark.parametrize("left", [0, 1, 100, 4000, -1])
def test_a_truncated_newest_falls_back_and_says_so(checkpoints, caplog, left):
    newest = checkpoints.steps()[-1]
    newest.write_bytes(newest.read_bytes()[:left])
    with caplog.at_level(logging.WARNING):
        assert checkpoints.load_newest()["step"] == 20
    assert str(newest) in caplog.text
    assert "trying the checkpoint before it" in caplog.text


def test_a_damaged_part_is_named(checkpoints, caplog):
    newest = checkpoints.steps()[-1]
    flip(newest, newest.read_bytes().index(STATE["codec"]["weight"].numpy().tobytes()))
    assert checkpoints.load_newest()["step"] == 20
    assert f"{newest} is damaged: the checksum of its part archive/data/0 is wrong" in caplog.text


def test_when_all_are_damaged_each_is_named(checkpoints):
    for path in checkpoints.steps():
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="no checkpoint can be read: ") as error:
        checkpoints.load_newest()
    for path in checkpoints.steps():
        assert str(path) in str(error.value)


def test_a_foreign_checkpoint_is_refused_at_once(checkpoints, tmp_path):
    """Also where an older one is the run's own: something is wrong, and a fallback would hide it."""
    other = Checkpoints(tmp_path / "other", "somebody")
    other.save_step(40, state(40))
    os.replace(other.steps()[0], checkpoints.folder / "step_00000040.pt")
    with pytest.raises(
        CheckpointError, match=r"step_00000040.pt belongs to run somebody, not to me: it was copied here"
    ):
        checkpoints.load_newest()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"This is a text.\n", "is a text, not a file of weights"),
        (b"\x80\x04\x95", "is a pickle that torch.save did not write"),
        (b"PK\x05\x06" + 18 * b"\0", "is a ZIP archive that torch.save did not write; in it: nothing"),
    ],
)
def test_a_file_that_is_no_checkpoint(tmp_path, content, message):
    path = tmp_path / "step_00000001.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(CheckpointError, match=r"nothing\.pt cannot be read: No such file or directory"):
        load_checkpoint(tmp_path / "nothing.pt")


@pytest.mark.parametrize("content", [torch.zeros(3), {"weight": torch.zeros(3)}, [1, 2], {"codec": {}}])
def test_tensors_of_something_else_are_no_checkpoint(tmp_path, content):
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"other\.pt is no checkpoint of this platform"):
        load_checkpoint(path)


def test_another_format_is_said_to_be_another(tmp_path):
    path = tmp_path / "later.pt"
    torch.save(STATE | {"identity": "me", "format": 2}, path)
    with pytest.raises(CheckpointError, match=r"later\.pt has checkpoint format 2; this version reads 1"):
        load_checkpoint(path)


class Bomb:
    """Unpickling it would leave a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "pickle"])
def test_code_in_a_checkpoint_is_not_executed(checkpoints, tmp_path, new_format):
    trace = tmp_path / "executed"
    path = checkpoints.folder / "step_00000040.pt"
    content = {"format": 1, "identity": "me", **STATE, "extra": Bomb(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(CheckpointError, match="holds code that would be run"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError):
        load_safely(path)
    assert checkpoints.load_newest()["step"] == 30
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the bomb is a real one"


class FullDisk:
    """Files of which no more than so many bytes can be written."""

    def __init__(self, room, real=open):
        self.room, self.real = room, real

    def __call__(self, path, mode="r", **options):
        file = self.real(path, mode, **options)
        return _Limited(file, self.room) if "w" in mode else file


class _Limited:
    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, content):
        if len(content) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(content)
        return self.file.write(content)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()


@pytest.mark.parametrize("room", [0, 100, 5000])
def test_a_full_disk_leaves_the_former_checkpoints_whole(checkpoints, monkeypatch, room):
    before = {path.name: path.read_bytes() for path in checkpoints.folder.iterdir()}
    monkeypatch.setattr(atomic, "open", FullDisk(room), raising=False)
    for name, save in (("step_00000040", partial(checkpoints.save_step, 40)), ("best", checkpoints.save_best)):
        with pytest.raises(OSError, match=rf"No space left on device: '.*/{name}\.pt'$"):
            save(state(40))
    assert {path.name: path.read_bytes() for path in checkpoints.folder.iterdir()} == before


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_what_fails_after_writing_leaves_them_whole_too(checkpoints, monkeypatch, broken):
    before = {path.name: path.read_bytes() for path in checkpoints.folder.iterdir()}

    def fail(*arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(atomic.os, broken, fail)
    with pytest.raises(OSError, match="Input/output error"):
        checkpoints.save_step(40, state(40))
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in checkpoints.folder.iterdir()} == before


def test_a_checkpoint_is_on_the_disk_before_it_takes_its_place(checkpoints, monkeypatch):
    """Otherwise a power cut could leave a complete name with nothing in it."""
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(atomic.os, name, lambda *a, name=name, real=real: (calls.append(name), real(*a))[1])
    checkpoints.save_step(40, state(40))
    assert calls[:2] == ["fsync", "replace"]


def test_a_run_on_a_full_disk_resumes_from_the_checkpoint_before(tmp_path, monkeypatch):
    def made(name):
        of = objective(regularizer=Gain())
        return trainer(tmp_path / name, of, [stage(of, 10)], validate_every_steps=100)

    straight = made("straight")
    straight.fit()
    full = made("full")
    save = full.save

    def save_until_full():
        if full.step == 6:
            monkeypatch.setattr(atomic, "open", FullDisk(500), raising=False)
        save()

    full.save = save_until_full
    with pytest.raises(OSError, match="No space left on device"):
        full.fit()
    monkeypatch.undo()
    again = made("full")
    again.reporter = full.reporter
    assert again.resume()
    assert again.step == 4
    again.fit()
    assert unequal(everything(straight), everything(again)) == []


@pytest.mark.parametrize("copy", ["step_old.pt", "step_00000020 (1).pt", "step_99.pt.bak.pt"])
def test_what_people_put_beside_checkpoints_is_none(checkpoints, copy):
    (checkpoints.folder / copy).write_bytes((checkpoints.folder / "step_00000020.pt").read_bytes())
    assert checkpoints.load_newest()["step"] == 30
    checkpoints.save_step(40, state(40))
    assert names(checkpoints) == sorted(["best.pt", "step_00000030.pt", "step_00000040.pt", copy])


def test_steps_are_ordered_as_numbers(checkpoints):
    checkpoints.save_step(10**8, state(10**8))
    assert checkpoints.load_newest()["step"] == 10**8


def spoil_best(checkpoints, how):
    if how == "gone":
        checkpoints.best.unlink()
    elif how == "another run's":
        Checkpoints(checkpoints.folder, "somebody").save_best(state(20))
    else:
        flip(checkpoints.best, checkpoints.best.stat().st_size // 2)


@pytest.mark.parametrize("how", ["gone", "another run's", "damaged"])
def test_a_run_does_not_end_well_without_best_weights_of_its_own(checkpoints, how):
    spoil_best(checkpoints, how)
    with pytest.raises(CheckpointError, match=r"best\.pt.*trainer\.resume=never starts the run anew"):
        checkpoints.check_best()
