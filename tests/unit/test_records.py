"""The checked reader: what we wrote comes back, anything else is one error that names the file."""

import json
import os

import pytest
from damage import OTHER_JSON

from lic_exp.records import SCHEMA_VERSION, NewerError, RecordError, read_file, read_record
from lic_exp.tracking.kinds import STATES, ComplexityNumbers, Environment, EvaluationResults, Status

KINDS = (Status, EvaluationResults, Environment, ComplexityNumbers)
STATUS = {"state": "done", "pid": 3, "heartbeat": 1e9, "best": 1.25, "reason": "", "code": ["ab", None], "later": [{}]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", OTHER_JSON.values(), ids=list(OTHER_JSON))
def test_any_other_content_is_one_error_that_names_the_file(tmp_path, kind, content):
    path = tmp_path / "status.json"
    path.write_bytes(content)
    with pytest.raises(RecordError) as raised:
        read_record(path, kind)
    assert str(raised.value) == f"{path} cannot be read: {raised.value.reason}"
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300 + len(str(path))


def test_what_was_written_comes_back_also_what_is_unknown(tmp_path):
    path = tmp_path / "status.json"
    path.write_text(json.dumps(STATUS))
    assert read_record(path, Status) == STATUS


@pytest.mark.parametrize(
    "change",
    [
        *({"pid": value} for value in (None, "3", 3.5, True, [3], -1, 2**40)),
        *({"heartbeat": value} for value in (None, "now", [], 1e300, float("nan"), -1)),
        *({"best": value} for value in ("low", [], {}, True)),
        *({"reason": value} for value in (3, [], {"a": 1})),
        *({"state": value} for value in (3, None, "paused", "", ["done"])),
        *({"code": value} for value in ("ab", [3], {})),
        *({"schema_version": value} for value in (10**400, "3", None, 3.5)),
        {"skipped": ["a"]},
        {"step": 2**70},
        {"started": "yesterday"},
    ],
    ids=str,
)
def test_a_wrong_type_is_named_with_its_key(tmp_path, change):
    path = tmp_path / "status.json"
    path.write_text(json.dumps(STATUS | change))
    with pytest.raises(RecordError, match=rf"status\.json cannot be read: {next(iter(change))}[.:]"):
        read_record(path, Status)


@pytest.mark.parametrize("more", [{}, {"state": "paused"}, {"pid": {"host": 3}}])
def test_what_a_newer_version_wrote_is_told_from_damage(tmp_path, more):
    path = tmp_path / "status.json"
    path.write_text(json.dumps(STATUS | {"schema_version": SCHEMA_VERSION + 1} | more))
    with pytest.raises(NewerError, match="a newer version of this package wrote it, with schema 3"):
        read_record(path, Status)


def test_missing_is_no_damage(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "nothing", tmp_path / "file" / "status.json"):
        with pytest.raises(FileNotFoundError):
            read_record(path, Status)


def test_what_is_no_file_holds_nobody(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "round").symlink_to("round")
    for name in ("pipe", "folder", "round", "nul\0"):
        with pytest.raises(RecordError):
            read_file(tmp_path / name)


def test_a_file_without_end_is_not_read(tmp_path):
    with open(tmp_path / "zeros", "wb") as file:
        file.truncate(10**12)
    with pytest.raises(RecordError, match="it has 1000000000000 bytes"):
        read_record(tmp_path / "zeros", Status)


def test_a_status_knows_every_state():
    assert set(STATES) == {"created", "running", "done", "failed", "diverged", "preempted"}
