"""A damaged status.json under a launch: nothing is destroyed for not being known."""

import json
import logging

import pytest
from damage import OTHER_JSON

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.records import NewerError, RecordError
from lic_exp.runs.listing import summarise
from lic_exp.runs.recovery import known_status, set_aside_damaged
from lic_exp.runs.run import Run
from lic_exp.tracking.run_folder import RunFolder

NEWER = json.dumps({"schema_version": 3, "state": "paused"})


@pytest.fixture(scope="module")
def config():
    return load_config(["model=hyperprior_tiny", "tracker=none"])


@pytest.fixture(scope="module")
def anew():
    return load_config(["model=hyperprior_tiny", "tracker=none", "trainer.resume=never"])


@pytest.mark.parametrize("content", OTHER_JSON.values(), ids=list(OTHER_JSON))
def test_with_a_checkpoint_it_goes_on_and_the_file_is_kept(make_run, config, content, caplog):
    run = RunFolder(make_run("abcd"))
    run.status_file.write_bytes(content)
    assert known_status(config, run) == {}
    with caplog.at_level(logging.WARNING):
        kept = set_aside_damaged(run)
    assert kept.read_bytes() == content
    assert not run.status_file.exists()
    assert "status.json cannot be read" in caplog.text
    assert "goes on from its newest checkpoint" in caplog.text


def test_every_damaged_file_is_kept(make_run):
    run = RunFolder(make_run("abcd"))
    for content in ("[]", "null"):
        run.status_file.write_text(content)
        set_aside_damaged(run)
    assert [path.read_text() for path in sorted(run.root.glob("status.damaged_*"))] == ["[]", "null"]


def test_a_whole_status_is_left_alone(make_run, config):
    run = RunFolder(make_run("abcd"))
    assert known_status(config, run)["state"] == "done"
    assert set_aside_damaged(run) is None
    assert run.status()["state"] == "done"


def test_without_a_step_checkpoint_a_run_that_may_be_done_is_refused(make_run, config, anew):
    run = RunFolder(make_run("abcd", files=["best.pt"]))
    run.status_file.write_text("[]")
    with pytest.raises(ConfigError, match="no step checkpoint to go on from") as raised:
        known_status(config, run)
    assert "lic_exp rm abcd" in str(raised.value)
    (run.checkpoints / "step_00000100.pt").touch()
    with pytest.raises(ConfigError, match=r"trainer\.resume=never"):
        known_status(anew, run)


def test_a_newer_run_is_never_touched(make_run, config):
    run = RunFolder(make_run("abcd"))
    run.status_file.write_text(NEWER)
    with pytest.raises(ConfigError, match="a newer version"):
        known_status(config, run)
    for act in (lambda: set_aside_damaged(run), lambda: run.update_status(state="running"), run.status):
        with pytest.raises(NewerError):
            act()
    assert run.status_file.read_text() == NEWER
    assert Run(run.root).state == summarise(run.root).state == "newer"


@pytest.mark.parametrize("content", ["[]", "{", '{"pid": "x"}'])
def test_a_process_writes_its_own_status_anew(make_run, content, caplog):
    """Whatever else wrote there meanwhile, the heartbeat goes on and nothing of the status is lost."""
    run = RunFolder(make_run("abcd"))
    written = run.update_status(state="running", attempt=3, code=["ab"])
    run.status_file.write_text(content)
    with pytest.raises(RecordError):
        RunFolder(run.root).update_status(step=4)  # somebody else's
    again = run.update_status(step=4)
    assert again.items() >= {"state": "running", "attempt": 3, "code": ["ab"], "step": 4}.items()
    assert written["name"] == again["name"]
    assert "it is written anew" in caplog.text


def test_a_run_that_is_not_known_still_names_its_parent(make_run):
    """`gc` keeps the checkpoint that an unfinished child needs."""
    folder = make_run("abcd")
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("\nparent: null\n", "\nparent: '0123456789abcdef'\n"))
    (folder / "status.json").write_text("[]")
    assert summarise(folder).parent == "0123456789abcdef"
