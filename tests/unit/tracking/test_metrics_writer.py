"""The writer of the truth: on the disk before a checkpoint refers to it, and never filled up with zeros."""

import os

import pytest

from lic_exp.tracking import base
from lic_exp.tracking.base import MetricsWriter
from lic_exp.tracking.run_folder import RunFolder


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "0123456789abcdef")
    folder.create()
    return folder


@pytest.fixture
def at(run):
    """Ten entries of steps 1 to 10, a position after the sixth of them."""
    with MetricsWriter(run) as writer:
        for step in range(1, 7):
            writer.write({"train/loss": step / 2}, step=step, epoch=0)
        position = writer.position()
        for step in range(7, 11):
            writer.write({"train/loss": step / 2}, step=step, epoch=0)
    return position


def steps(run):
    return [entry["step"] for entry in run.metrics()]


def rewound(run, position):
    with MetricsWriter(run) as writer:
        lost = writer.rewind(position)
        writer.write({"train/loss": 0.0}, step=99, epoch=0)
    assert b"\0" not in run.metrics_file.read_bytes()
    assert steps(run)[-1] == 99
    return lost, steps(run)[:-1]


def test_what_lies_after_a_position_is_dropped(run, at):
    assert (at["entries"], at["step"]) == (6, 6)
    assert rewound(run, at) == ("", [1, 2, 3, 4, 5, 6])
    assert not list(run.root.glob("metrics.jsonl.*"))


def test_a_position_of_an_earlier_version_is_its_bytes(run, at):
    assert rewound(run, at["bytes"]) == ("", [1, 2, 3, 4, 5, 6])


def line_ends(run):
    content = run.metrics_file.read_bytes()
    return [place + 1 for place in range(len(content)) if content[place : place + 1] == b"\n"]


@pytest.mark.parametrize("earlier", [False, True], ids=["", "of an earlier version"])
@pytest.mark.parametrize(("lines", "more"), [(0, 0), (0, 5), (1, 0), (3, 20), (5, -1)])
def test_a_file_that_was_cut_keeps_its_whole_lines(run, at, earlier, lines, more):
    end = [0, *line_ends(run)][lines] + more
    run.metrics_file.write_bytes(run.metrics_file.read_bytes()[:end])
    kept = lines - (more < 0)

    lost, found = rewound(run, at["bytes"] if earlier else at)

    assert found == list(range(1, kept + 1))
    assert f"it has {kept}{'' if earlier else ' of 6'} entries" in lost
    if not earlier:
        assert "It should have reached step 6." in lost


def test_a_file_that_was_deleted_begins_anew(run, at):
    run.metrics_file.unlink()
    lost, found = rewound(run, at)
    assert found == []
    assert "it has 0 of 6 entries, and 0 damaged lines" in lost


def test_a_file_that_was_emptied_while_it_was_written_keeps_no_later_step(run, at):
    """The writer went on at its end: shorter, and with steps that the resumed run writes again."""
    ends = line_ends(run)
    run.metrics_file.write_bytes(run.metrics_file.read_bytes()[ends[4] :])
    lost, found = rewound(run, at)
    assert found == [6]
    assert "it has 1 of 6 entries, the last of step 6" in lost


@pytest.mark.parametrize(
    "damage", [b"\0" * 30, b"garbage\n{", b"\xff\xfe\xfd", b"[1, 2]\n", b"7\n", b'{"epoch": 0}\n', b"null\n"]
)
@pytest.mark.parametrize("place", [0, 70, 200])
def test_what_is_damaged_in_the_middle_goes_and_is_kept_beside_it(run, at, damage, place):
    content = bytearray(run.metrics_file.read_bytes())
    content[place : place + len(damage)] = damage
    run.metrics_file.write_bytes(content)

    lost, found = rewound(run, at)

    assert found == sorted(set(found))
    assert set(found) < {1, 2, 3, 4, 5, 6}
    assert len(found) >= 3
    assert f"it has {len(found)} of 6 entries" in lost
    assert "The damaged file is kept as metrics.jsonl.damaged." in lost
    assert (run.root / "metrics.jsonl.damaged").read_bytes() == content


def test_a_line_that_was_taken_out_is_missed(run, at):
    """Though the file reaches far enough, and ends a line there."""
    content, ends = run.metrics_file.read_bytes(), line_ends(run)
    run.metrics_file.write_bytes(content[: ends[1]] + content[ends[2] :])
    lost, found = rewound(run, at)
    assert found == [1, 2, 4, 5, 6]
    assert "it has 5 of 6 entries, the last of step 6, and 0 damaged lines" in lost


def test_what_was_lost_once_is_not_told_twice(run, at):
    run.metrics_file.unlink()
    with MetricsWriter(run) as writer:
        assert writer.rewind(at)
        writer.write({}, step=7, epoch=0)
        again = writer.position()
        writer.write({}, step=8, epoch=0)
    assert again["entries"] == 1
    assert rewound(run, again) == ("", [7])


def test_a_mark_of_divergence_after_the_checkpoint_goes_with_what_is_reduced(run, at):
    with MetricsWriter(run) as writer:
        writer.rewind(at)
        writer.write({"train/diverged": 1.0}, step=6, epoch=0)
    content = run.metrics_file.read_bytes()
    run.metrics_file.write_bytes(content[line_ends(run)[0] :])
    _, found = rewound(run, at)
    assert found == [2, 3, 4, 5, 6]


def test_a_position_is_on_the_disk(run, monkeypatch):
    """A checkpoint refers to it: after a power cut the file must not be shorter."""
    calls, fsync = [], os.fsync
    monkeypatch.setattr(base.os, "fsync", lambda number: (calls.append(os.fstat(number).st_size), fsync(number))[1])
    with MetricsWriter(run) as writer:
        writer.write({"train/loss": 1.0}, step=1, epoch=0)
        assert writer.position()["bytes"] == calls[-1] == run.metrics_file.stat().st_size


@pytest.mark.parametrize("other", [None, b"", b'{"step": 1, "epoch": 0}\n'])
def test_a_file_that_is_taken_away_while_it_is_written_is_put_back(run, caplog, other):
    with MetricsWriter(run) as writer:
        writer.write({}, step=1, epoch=0)
        run.metrics_file.unlink()
        if other is not None:
            run.metrics_file.write_bytes(other)
        writer.write({}, step=2, epoch=0)
        position = writer.position()
        writer.write({}, step=3, epoch=0)
    assert steps(run) == [1, 2, 3]
    assert "was deleted or replaced while the run wrote to it, and is put back" in caplog.text
    assert rewound(run, position) == ("", [1, 2])
    kept = run.root / "metrics.jsonl.replaced"
    assert kept.exists() == (other is not None)


def test_one_that_is_emptied_while_it_is_written_has_no_gap(run):
    with MetricsWriter(run) as writer:
        for step in (1, 2):
            writer.write({}, step=step, epoch=0)
        os.truncate(run.metrics_file, 0)
        writer.write({}, step=3, epoch=0)
        position = writer.position()
    lost, found = rewound(run, position)
    assert found == [3]
    assert "it has 1 of 3 entries" in lost


def test_a_full_disk_is_an_error_of_its_own_entry(run, monkeypatch):
    with MetricsWriter(run) as writer:
        writer.write({}, step=1, epoch=0)
        with open("/dev/full", "wb", buffering=0) as full, monkeypatch.context() as patch:
            patch.setattr(writer, "_file", full)
            with pytest.raises(OSError, match="No space left"):
                writer.write({}, step=2, epoch=0)
        writer.write({}, step=3, epoch=0)
    assert steps(run) == [1, 3]


@pytest.mark.parametrize("content", [b"", b'{"step": 1}\n', b"\0" * 5000])
def test_one_that_is_overwritten_in_place_meanwhile_is_said(run, content, caplog):
    with MetricsWriter(run) as writer:
        for step in range(1, 7):
            writer.write({"train/loss": 0.5}, step=step, epoch=0)
        run.metrics_file.write_bytes(content)
        writer.write({"train/loss": 0.5}, step=7, epoch=0)
        writer.position()
        assert caplog.text.count("was changed while the run wrote to it") == 1
        writer.position()
    assert caplog.text.count("was changed while the run wrote to it") == 1
