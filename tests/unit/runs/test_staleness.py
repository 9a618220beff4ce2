"""What is said of runs by other code than there is now, and what becomes of them."""

import io
import json
import logging
import shutil

import pytest
from rich.console import Console

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.runs import code_hash as code_hash_module
from lic_exp.runs import evaluate as evaluating
from lic_exp.runs import start as starting
from lic_exp.runs.beginnings import check_resume
from lic_exp.runs.code_hash import KIND, PLATFORM, code_hash, code_parts
from lic_exp.runs.listing import summaries, summarise
from lic_exp.runs.reevaluation import reevaluate
from lic_exp.runs.removal import FORMER
from lic_exp.runs.run import Run
from lic_exp.runs.staleness import MEANINGS, TITLES, code_text, is_remade
from lic_exp.runs.story import story
from lic_exp.tracking.run_folder import RunFolder

CODES = {
    "current": [code_hash()],
    "stale": [f"{KIND}0123456789abcdef"],
    "unknown": ["0123456789abcdef"],
    "unknown, none": [],
}
TINY = ["model=hyperprior_tiny", "tracker=none"]


@pytest.fixture
def made(make_run):
    """A run that is done, by this code."""

    def make(code):
        run = Run(make_run("abcd"))
        status = json.loads(run.files.status_file.read_text()) | {"state": "done", "code": CODES[code]}
        run.files.status_file.write_text(json.dumps(status))
        return run

    return make


@pytest.mark.parametrize("code", CODES)
def test_a_run_its_summary_and_its_story_say_it(made, code):
    run, state = made(code), code.partition(",")[0]
    assert (run.code, summarise(run.folder).code) == (state, state)
    assert ("code=" in repr(run)) is (state == "stale")
    assert dict(dict(story(run))["status"]).get("code", "").startswith(TITLES[state])


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("quiet", [False, True])
def test_a_launch_of_a_done_run_says_it(made, code, quiet, monkeypatch, caplog):
    run, said = made(code), io.StringIO()
    config = load_config([*TINY, "evaluation.enabled=false"])
    console = Console(file=said, quiet=quiet)
    monkeypatch.setattr(starting, "RunFolder", lambda _: run.files)
    with caplog.at_level(logging.WARNING):
        starting.start_run(config, [], console, Console(file=io.StringIO()))
    told = caplog.text if quiet else said.getvalue()
    state = code.partition(",")[0]
    assert (f"run abcd is done; {TITLES[state]}: {MEANINGS[state]}" in told) is (code != "current")
    assert ("trainer.stale=again" in told) is (code != "current")


@pytest.mark.parametrize("code", CODES)
def test_it_can_be_refused(made, code, monkeypatch):
    run = made(code)
    monkeypatch.setattr(starting, "RunFolder", lambda _: run.files)
    config = load_config([*TINY, "evaluation.enabled=false", "trainer.stale=refuse"])
    if code == "current":
        starting.start_run(config, [], Console(quiet=True), Console(quiet=True))
    else:
        with pytest.raises(ConfigError, match=r"trainer\.stale=refuse: run abcd is done; "):
            starting.start_run(config, [], Console(quiet=True), Console(quiet=True))


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("state", ["done", "failed", "preempted", "created"])
def test_what_is_made_anew(code, state):
    status = {"state": state, "code": CODES[code]}
    config = load_config([*TINY, "trainer.stale=again"])
    known = state == "done" or code == "stale"  # else no attempt would ever come to an end
    assert is_remade(config, status) is (state != "created" and code != "current" and known)
    assert not is_remade(load_config(TINY), status)
    assert config.signature == load_config(TINY).signature, "how it is asked for is no part of a name"


COMPONENTS = ("lic_exp.training.criterion.MSE", "lic_exp.optimizers.factories.adam", "lic_exp.data.sources.Folder")
NAMED = {
    "one": (COMPONENTS[:1], "(changed: lic_exp.training.criterion.MSE)"),
    "what every run uses": ((PLATFORM,), "(changed: what every run uses)"),
    "all": ((PLATFORM, *COMPONENTS), "(changed: what every run uses, lic_exp.data.sources.Folder, "),
    "many": ((PLATFORM, *COMPONENTS), " and 1 more)"),
}


@pytest.mark.parametrize("what", NAMED)
def test_what_of_the_code_is_other_is_named(what):
    changed, said = NAMED[what]
    parts = code_parts(COMPONENTS)
    assert said in code_text({"code": CODES["stale"], "parts": parts | dict.fromkeys(changed, "other")})


def test_names_in_a_status_cannot_steer_a_terminal():
    assert "\x1b" not in code_text({"code": CODES["stale"], "parts": {"\x1b[31m": "other"}})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of runs with one that is done, by this code: its name, and the overrides that make it."""
    runs = tmp_path_factory.mktemp("trained")
    given = [
        *("data=synthetic", "data.steps_per_epoch=2", "data.val_limit=1", "data.val_crop_size=64"),
        *("model=hyperprior_tiny", "tracker=none", "evaluation.enabled=false", "trainer.max_steps=2"),
        *("trainer.checkpoint_every_steps=1", "trainer.validate_every_steps=2"),
    ]
    run = launched([*given, f"paths.runs={runs}"])
    return runs, run.signature, given


def launched(given):
    quiet = Console(quiet=True)
    return starting.start_run(load_config(given), [], quiet, quiet)


@pytest.fixture
def copied(trained, tmp_path):
    """That run in a folder of its own, with other words in its status; and a launch of overrides there."""
    runs, name, given = trained
    files = RunFolder(shutil.copytree(runs, tmp_path / "runs") / name)

    def change(**changes):
        files.status_file.write_text(json.dumps(files.status() | changes))
        return files

    return change, lambda *more: launched([*given, f"paths.runs={tmp_path / 'runs'}", *more])


@pytest.mark.parametrize("code", ["stale", "unknown"])
def test_what_is_made_anew_is_kept_as_it_was(copied, code):
    change, launch = copied
    assert launch().code == "current"
    files = change(code=CODES[code])
    before = {path.name: path.read_bytes() for path in files.root.iterdir() if path.is_file()}
    assert launch().code == code, "kept"
    again = launch("trainer.stale=again")
    assert (again.code, again.state, again.status["attempt"]) == ("current", "done", 1)
    kept = files.root.parent / FORMER / "1" / files.signature
    assert {path.name: path.read_bytes() for path in kept.iterdir() if path.is_file()} == before
    assert str(kept) in files.log.read_text()
    assert [run.signature for run in summaries(files.root.parent)] == [files.signature]
    assert again.config.trainer.resume == "auto", "as it was asked for"
    assert launch("trainer.stale=again").status["attempt"] == 1, "not twice"
    change(code=CODES[code])
    launch("trainer.stale=again")
    assert (files.root.parent / FORMER / "2" / files.signature).is_dir()


@pytest.mark.parametrize("code", [*CODES, "unknown, null"])
@pytest.mark.parametrize("how", ["resumed", "extended", "begun from its weights"])
def test_what_goes_on_from_other_code_is_of_both(copied, code, how, caplog):
    change, launch = copied
    former = {**CODES, "unknown, null": [None]}[code]
    if code == "current":
        files = change(state="preempted" if how == "resumed" else "done")
    else:
        files = change(state="preempted" if how == "resumed" else "done", code=former)
    more = {
        "resumed": [],
        "extended": [f"parent='{files.signature}'", "trainer.max_steps=3"],
        "begun from its weights": [f"init_from='{files.signature}'"],
    }[how]
    with caplog.at_level(logging.WARNING):
        run = launch(*more)
    state = code.partition(",")[0]
    assert (run.state, run.code) == ("done", state)
    assert (f"{TITLES[state]}: {MEANINGS[state]}; trainer.stale=again" in caplog.text) is (code != "current")
    if code == "current":
        assert len(run.status["code"]) == 1
        return
    assert run.status["code"][:-1] == (former or [None])
    assert f"from here on this run is {'stale' if state == 'stale' else 'of unknown code'}" in run.files.log.read_text()
    assert ("it went on by other code than it was begun with" in code_text(run.status)) is (state == "stale")


@pytest.mark.parametrize("asked", ["refuse", "again"])
@pytest.mark.parametrize("how", ["extended", "begun from its weights"])
def test_of_a_stale_run_nothing_current_can_be_made(copied, asked, how):
    change, launch = copied
    files = change(code=CODES["stale"])
    more = {
        "extended": [f"parent='{files.signature}'", "trainer.max_steps=3"],
        "begun from its weights": [f"init_from='{files.signature}'"],
    }[how]
    with pytest.raises(ConfigError, match=f"trainer.stale={asked}: .* is done; stale: .* make that one anew first"):
        launch(*more, f"trainer.stale={asked}")
    assert [run.signature for run in summaries(files.root.parent)] == [files.signature]


def test_a_run_that_would_go_on_by_other_code_can_be_refused_or_begun_anew(copied):
    change, launch = copied
    files = change(state="preempted", code=CODES["stale"])
    with pytest.raises(ConfigError, match=r"trainer\.stale=refuse: run .* would go on; stale"):
        launch("trainer.stale=refuse")
    assert files.status()["state"] == "preempted"
    run = launch("trainer.stale=again")
    assert (run.state, run.code, len(run.status["code"])) == ("done", "current", 1)


def test_of_unknown_code_a_run_goes_on_though_what_is_not_current_is_made_anew(copied, caplog):
    change, launch = copied
    files = change(state="preempted", code=[None])
    with caplog.at_level(logging.WARNING):
        run = launch("trainer.stale=again")
    assert (run.state, run.code, run.status["attempt"]) == ("done", "unknown", 2)
    assert not (files.root.parent / FORMER).exists()
    assert "goes on; code unknown: nothing says which code made it" in caplog.text
    assert "makes it anew" not in caplog.text


def test_what_begins_with_other_components_is_not_of_other_code(copied):
    change, launch = copied
    run = launch(f"init_from='{change().signature}'", "spectral_reg=intra")
    assert (run.state, run.code) == ("done", "current")


def test_what_was_edited_since_the_process_began_makes_a_run_of_unknown_code(copied, monkeypatch):
    change, launch = copied
    change()
    monkeypatch.setattr(code_hash_module, "PROCESS_BEGAN", 0.0)
    run = launch("seed=1")
    assert (run.state, run.code, run.status["code"], run.status["parts"]) == ("done", "unknown", [None], {})
    assert "nobody knows which code is at work: " in run.files.log.read_text()


def test_an_evaluation_says_by_which_code_it_was_made(copied):
    change, launch = copied
    files = change()
    run = launch("evaluation.enabled=true", "evaluation.limit=1")
    file = files.eval / "evaluation.json"
    assert [json.loads(file.read_text())["code"]] == run.status["code"]
    assert "by other code" not in str([list(lines) for _, lines in story(run)])
    change(code=CODES["stale"])
    reevaluate(run, data=None, folder=None, qualities=None, targets=(), console=Console(quiet=True))
    assert [json.loads(file.read_text())["code"]] not in (CODES["stale"], [None])
    assert "by other code than it was trained by" in str([list(lines) for _, lines in story(run)])


def test_what_evaluates_a_run_just_trained_is_what_trained_it(copied, monkeypatch):
    change, launch = copied
    change()
    monkeypatch.setattr(evaluating, "evaluated_by", lambda status: "of the disk by now")
    run = launch("seed=1", "evaluation.enabled=true", "evaluation.limit=1")
    assert [json.loads((run.files.eval / "evaluation.json").read_text())["code"]] == run.status["code"]


@pytest.mark.parametrize(("code", "state"), [("stale", "done"), ("unknown", "done"), ("stale", "preempted")])
def test_a_run_that_must_go_on_is_not_made_anew(copied, code, state):
    change, launch = copied
    files = change(state=state, code=CODES[code])
    with pytest.raises(ConfigError, match=r"trainer\.resume=must: run .* would begin anew by trainer\.stale=again"):
        launch("trainer.resume=must", "trainer.stale=again")
    config = load_config([*TINY, f"paths.runs={files.root.parent}", "trainer.resume=must", "trainer.stale=again"])
    with pytest.raises(ConfigError, match="would begin anew"):
        check_resume(config, files)
    assert (files.status()["state"], files.root.parent.joinpath(FORMER).exists()) == (state, False)


@pytest.mark.parametrize("relative", [True, False])
def test_a_link_to_a_run_is_not_set_aside(copied, relative):
    change, launch = copied
    files = change(code=CODES["stale"])
    elsewhere = files.root.parent.parent / "elsewhere"
    files.root.rename(elsewhere)
    files.root.symlink_to("../elsewhere" if relative else elsewhere)
    with pytest.raises(ConfigError, match="is a link to a run"):
        launch("trainer.stale=again")
    assert files.root.is_symlink()
    assert files.status()["state"] == "done"
