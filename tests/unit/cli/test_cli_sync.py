"""Which runs are brought up to date."""

import os

import pytest

from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.runs import syncing


@pytest.fixture
def synced(make_run, tmp_path, monkeypatch):
    """The folders of runs that were synced, of `a/aaaa`, `a/bbbb`, `b/bbbb` and `b/cccc`."""
    for place in ("a/aaaa", "a/bbbb", "b/bbbb", "b/cccc"):
        make_run(f"../{place}")
    found = []
    monkeypatch.setattr(syncing, "sync_run", lambda run: found.append(os.path.relpath(run.folder, tmp_path)) or [])
    return found


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--runs", "a"], ["a/aaaa", "a/bbbb"]),
        (["--runs", "a", "--runs", "b"], ["a/aaaa", "a/bbbb", "b/bbbb", "b/cccc"]),
        (["--runs", "b", "--runs=a", "--runs", "b"], ["b/bbbb", "b/cccc", "a/aaaa", "a/bbbb"]),
        (["--runs", "a", "--runs", "b", "cccc"], ["b/cccc"]),
        (["--runs", "a", "--runs", "b", "aa", "bbbb"], ["a/aaaa", "a/bbbb", "b/bbbb"]),
    ],
)
def test_every_folder_that_is_named_counts(arguments, expected, synced):
    assert main(["sync", *arguments]) == exit_codes.DONE
    assert synced == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs", "a", "--runs", "gone"], "there is no folder gone"),
        (["--runs", "a", "--runs", "b", "dddd"], "dddd"),
    ],
)
def test_a_name_or_folder_that_is_not_there_is_refused(arguments, message, synced, capsys):
    assert main(["sync", *arguments]) == exit_codes.CONFIG
    assert message in capsys.readouterr().err
    assert synced == []
