"""Cells that are done in a results folder: not trained, said so, read by analysis, and never written to."""

import json
from pathlib import Path

import pytest
from commands import QUICK, called
from made_runs import write_run

from analysis.named_runs import named
from analysis.sweeps import load_sweep
from lic_exp import exit_codes
from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.runs.code_hash import code_hash
from lic_exp.runs.committed import committed_run
from lic_exp.sweeps.control import retry
from lic_exp.sweeps.create import sweep_request
from lic_exp.sweeps.plan import plan
from lic_exp.sweeps.states import exit_code, states
from lic_exp.tracking.results_folder import RESULTS_FILE, sha256

RESULTS = "results/study"
SWEEP = [*QUICK, "seed=0,1"]
TAKEN = f"paths.results={RESULTS}"
OTHER_CODE = ["d2-0123456789abcdef"]


@pytest.fixture(autouse=True)
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def commit(*seeds, given=(), state="done", code=None, **status):
    """A results folder with the runs of these seeds, as if they were collected."""
    folder = Path(RESULTS)
    for seed in seeds:
        config = load_config([*QUICK, f"seed={seed}", *given])
        made = {"code": [code_hash()] if code is None else code, "step": 500} | status
        write_run(folder / config.signature, config, state, files=(), **made)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != RESULTS_FILE]
    digests = {path.relative_to(folder).as_posix(): sha256(path.read_bytes()) for path in files}
    record = {"schema_version": 2, "left_out": [], "files": digests}
    (folder / RESULTS_FILE).write_text(json.dumps(record))


def contents():
    return {path: path.read_bytes() for path in Path(RESULTS).rglob("*") if path.is_file()}


def test_a_committed_cell_is_done_and_not_started():
    commit(0)
    request = sweep_request([*SWEEP, TAKEN], several=True)
    assert [(one.now.state, one.minutes) for one in plan(request)] == [("done", 0.0), ("waiting", None)]
    sweep = request.write()
    now = list(states(sweep).values())
    place = Path(RESULTS).absolute()
    assert [(one.state, one.committed, one.reason) for one in now] == [
        ("done", place, f"done in {place}"),
        ("waiting", None, ""),
    ]
    assert exit_code(sweep, sweep.cells[:1]) == exit_codes.DONE
    assert not Path("runs", sweep.cells[0].signature).exists()


def test_the_plan_names_them():
    commit(0)
    done = called("launch.py", "-m", *SWEEP, TAKEN, "plan=true", folder=Path.cwd())
    assert f"done in {Path(RESULTS).absolute()}, and not trained here: seed=0\n" in done.stdout
    assert "2 cells, 1 to run" in done.stdout


def test_all_of_them_committed_nothing_is_started():
    commit(0, 1)
    before = contents()
    done = called("launch.py", "-m", *SWEEP, TAKEN, folder=Path.cwd())
    assert done.returncode == exit_codes.DONE, done.stderr
    assert "all 2 cells are done; nothing was started" in done.stderr
    assert contents() == before


def test_the_signature_and_the_name_of_the_sweep_do_not_change():
    commit(0)
    with_results, without = (sweep_request([*SWEEP, *more], several=True).frozen for more in ([TAKEN], []))
    assert (with_results.name, list(with_results.configs)) == (without.name, list(without.configs))
    assert without.manifest["committed"] is None


def test_one_run_is_not_started_either():
    commit(0)
    before = contents()
    done = called("launch.py", *QUICK, "seed=0", TAKEN, folder=Path.cwd())
    assert done.returncode == exit_codes.DONE, done.stderr
    assert f"is done in {RESULTS}; nothing was started." in done.stderr
    assert contents() == before
    assert not Path("runs").exists()


def test_what_has_begun_here_goes_on_here():
    commit(0)
    config = load_config([*QUICK, "seed=0"])
    write_run(Path("runs", config.signature), config, "preempted")
    sweep = sweep_request([*SWEEP, TAKEN], several=True).write()
    assert states(sweep)[config.signature].state == "preempted"


@pytest.mark.parametrize("state", ["failed", "diverged", "preempted"])
def test_what_is_not_done_there_is_trained(state):
    commit(0, state=state)
    assert sweep_request([*SWEEP, TAKEN], several=True).frozen.manifest["committed"] is None


def test_what_was_evaluated_otherwise_is_trained():
    commit(0, given=["evaluation.enabled=true"])
    config = load_config([*QUICK, "seed=0", "evaluation.enabled=true", TAKEN])
    assert committed_run(config) is None


def test_what_another_cell_begins_from_is_trained_since_results_have_no_weights():
    """Unless that one is done as well."""
    parent = load_config([*QUICK, "seed=0"]).signature
    given = [*QUICK, "seed=0", f"init_from=null,'{parent}'", TAKEN]
    commit(0)
    frozen = sweep_request(given, several=True).frozen
    assert [cell.parent for cell in frozen.cells] == [None, parent]
    assert frozen.manifest["committed"] is None
    commit(0, given=[f"init_from='{parent}'"])
    committed = sweep_request(given, several=True).frozen.manifest["committed"]
    assert committed["cells"] == [cell.signature for cell in frozen.cells]


@pytest.mark.parametrize(("stale", "taken"), [("keep", True), ("again", False)])
@pytest.mark.parametrize("code", [OTHER_CODE, [None]])
def test_what_other_code_made_is_as_trainer_stale_says(stale, taken, code):
    commit(0, code=code)
    found = sweep_request([*SWEEP, TAKEN, f"trainer.stale={stale}"], several=True).frozen.manifest["committed"]
    assert (found is not None) == taken


def test_what_other_code_made_can_be_refused():
    commit(0, code=OTHER_CODE)
    with pytest.raises(
        ConfigError, match=rf"trainer\.stale=refuse: run \w+ is done in {RESULTS}; stale: made by other"
    ):
        sweep_request([*SWEEP, TAKEN, "trainer.stale=refuse"], several=True)


def test_retry_of_what_is_stale_leaves_results_alone(capsys):
    commit(0, 1, code=OTHER_CODE)
    before = contents()
    sweep = sweep_request([*SWEEP, TAKEN], several=True).write()
    assert [one.state for one in states(sweep).values()] == ["stale", "stale"]
    assert retry(sweep, sweep.cells, stale=True) == exit_codes.DONE
    said = capsys.readouterr().err
    assert "2 cells of a results folder stay as they are" in said
    assert "nothing to retry" in said
    assert contents() == before


def test_analysis_reads_them_where_they_are():
    commit(0)
    sweep = sweep_request([*SWEEP, TAKEN], several=True).write()
    found = named(sweep.name)
    assert [run.folder.parent.name for run in found.runs] == ["study", "runs"]
    assert found.place is not None
    assert found.place.name == "runs"
    read = load_sweep(sweep.name).runs
    assert read is not None
    assert read.runs["signature"].tolist() == [sweep.cells[0].signature]


def test_no_training_writes_to_a_results_folder():
    commit(0)
    for words in ((*QUICK, "seed=0"), ("-m", *SWEEP)):
        done = called("launch.py", *words, f"paths.runs={RESULTS}", folder=Path.cwd())
        assert done.returncode == exit_codes.CONFIG
        assert f"paths.runs={RESULTS} is a results folder, which no training writes to" in done.stderr


def test_damaged_and_foreign_folders_are_refused_by_name():
    commit(0)
    config = Path(RESULTS, load_config([*QUICK, "seed=0"]).signature, "config.yaml")
    config.write_text(config.read_text() + "\n")
    with pytest.raises(
        ConfigError, match=r"paths\.results: .*config\.yaml cannot be read: it is not the file that was"
    ):
        sweep_request([*SWEEP, TAKEN], several=True)
    with pytest.raises(ConfigError, match=r"paths\.results: runs cannot be read: there is no such folder"):
        sweep_request([*SWEEP, "paths.results=runs"], several=True)
