"""What is known and decided about SLURM jobs without a cluster: tests/slurm has a real one."""

import json
import os
import stat
import time

import pytest
import yaml

from lic_exp.config.errors import ConfigError
from lic_exp.places import conf_folder
from lic_exp.runs.lock import run_lock
from lic_exp.sweeps.folder import FOLDER, Cell, write_sweep
from lic_exp.sweeps.launcher import launcher_options
from lic_exp.sweeps.launchers.slurm.arrays import adopt, array_folder, job_log, own_environment
from lic_exp.sweeps.launchers.slurm.job import Job, job_number
from lic_exp.sweeps.launchers.slurm.options import JobRequest, SlurmOptions
from lic_exp.sweeps.launchers.slurm.queue import JobView, Queue, SlurmError, ask, ended, exit_code, parse_listing
from lic_exp.sweeps.launchers.slurm.submit import levels, submit
from lic_exp.sweeps.states import states
from lic_exp.tracking.kinds import STATES


def options(**changes):
    node = yaml.safe_load((conf_folder() / "hydra/launcher/slurm.yaml").read_text())
    node.pop("kind")
    return launcher_options("slurm", node | changes)


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """What makes fakes of SLURM's commands, the only ones on the path: name=(what it prints, its exit code)."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    fresh = Queue()
    for module in ("job_state", "submit"):
        monkeypatch.setattr(f"lic_exp.sweeps.launchers.slurm.{module}.QUEUE", fresh)

    def made(**fakes):
        for name, (text, code) in fakes.items():
            stream = "" if code == 0 else " >&2"
            (folder / name).write_text(f"#!/bin/sh\n/bin/cat{stream} <<'END'\n{text}\nEND\nexit {code}\n")
            (folder / name).chmod(stat.S_IRWXU)

    return made


@pytest.fixture
def sweep(tmp_path):
    """Of three cells, `a`, `b` and `c`, the last of which starts from `b`; the jobs of all are submitted."""
    cells = [{"signature": name, "label": f"cell {name}"} for name in "abc"]
    cells[2]["parent"] = "b"
    manifest = {
        "sweep": "s",
        "cells": cells,
        "path": [],
        "plugins": [],
        "folder": str(tmp_path),
        "launched_by": "slurm",
    }
    made = write_sweep(tmp_path / "runs" / FOLDER / "s", manifest, {name: {"signature": name} for name in "abc"})
    for place, cell in enumerate(made.cells):
        made.record_job(cell, {"job": f"7_{place}", "submitted": time.time() - 60})
    return made


def begin(sweep, name, **more):
    """As a job does that starts on another machine; more: of its record."""
    status = {
        "state": more["state"] if more.get("state") in STATES else "running",
        "pid": 9,
        "host": "far",
        "heartbeat": time.time(),
        "started": time.time(),
        "reason": "",
    }
    (sweep.runs / name).mkdir(exist_ok=True)
    (sweep.runs / name / "status.json").write_text(json.dumps(status))
    cell = sweep.by_signature[name]
    attempt = {"job": sweep.job(cell)["job"], "pid": 9, "host": "far", "started": time.time(), "log_begin": 0}
    sweep.record_attempt(cell, attempt | more)


def shown(sweep):
    return {name: (one.state, one.reason) for name, one in states(sweep).items()}


def test_a_listing_is_read_whatever_the_names_hold():
    found = parse_listing("7_0|PENDING|Resources||a|b\n8|RUNNING|None|n1|x y\n\n9|FAILED\n")
    assert found["7_0"] == JobView("7_0", "PENDING", "Resources", "", "a|b")
    assert found["8"] == JobView("8", "RUNNING", "", "n1", "x y")
    assert [(view.works, view.over) for view in found.values()] == [(False, False), (True, False), (False, True)]


@pytest.mark.parametrize(("text", "code"), [("0:0", 0), ("3:0", 3), ("0:9", -9), ("", None), ("?", None)])
def test_slurms_exit_codes(text, code):
    assert exit_code(text) == code


def test_what_a_command_said_is_in_the_error(commands):
    commands(squeue=("no such controller", 1))
    with pytest.raises(SlurmError, match=r"^squeue: no such controller$"):
        ask(["squeue"])
    with pytest.raises(SlurmError, match="sbatch is not installed on this machine"):
        ask(["sbatch"])


def test_a_command_that_hangs_is_given_up(commands, monkeypatch):
    monkeypatch.setattr("lic_exp.sweeps.launchers.slurm.queue.TIMEOUT_S", 0.2)
    commands(squeue=("", 0))
    path = f"{os.environ['PATH']}/squeue"
    with open(path, "w") as file:
        file.write("#!/bin/sh\nexec /bin/sleep 60\n")
    with pytest.raises(SlurmError, match=r"did not answer within 0\.2 s"):
        ask(["squeue"])


def test_one_listing_serves_many_questions(commands):
    queue = Queue()
    commands(squeue=("7_0|PENDING|Resources||s", 0))
    assert queue.view("7_0").state == "PENDING"
    commands(squeue=("7_0|RUNNING|None|n1|s", 0))
    assert queue.view("7_0").state == "PENDING", "not asked again at once"
    assert queue.view("7_0", since=time.time()).state == "RUNNING", "but for something newer"
    assert queue.view("6").state == "UNKNOWN"


def test_how_a_job_ended_comes_from_whoever_knows(commands):
    view = JobView("7_0", "UNKNOWN")
    assert ended(view) == view
    commands(sacct=("CANCELLED by 1000|0:15", 0))
    assert ended(view) == JobView("7_0", "CANCELLED", "by 1000", exit_code=-15)
    commands(scontrol=("JobId=9 JobState=FAILED Reason=NonZeroExitCode ExitCode=1:0 NodeList=n1 JobName=s", 0))
    assert ended(view) == JobView("7_0", "FAILED", "NonZeroExitCode", "n1", "s", 1)


@pytest.mark.parametrize(
    ("listed", "told", "state", "reason"),
    [
        ("PENDING|Resources||s", "", "queued", "job 7_0: Resources"),
        ("RUNNING|None|n1|s", "", "starting", ""),
        (
            "CANCELLED|None||s",
            "JobState=CANCELLED ExitCode=0:15",
            "cancelled",
            "its job was cancelled; it had not begun",
        ),
        ("TIMEOUT|TimeLimit|n1|s", "JobState=TIMEOUT ExitCode=0:15", "time_limit", "SLURM ended it at its time limit"),
        ("NODE_FAIL|None|n1|s", "JobState=NODE_FAIL NodeList=n1", "killed", "its node failed (n1); it had not begun"),
        ("OUT_OF_MEMORY|None||s", "JobState=OUT_OF_MEMORY", "out_of_memory", "lower data.batch_size"),
        ("FAILED|None|n1|s", "JobState=FAILED ExitCode=3:0", "diverged", "job 7_0"),
        ("FAILED|None|n1|s", "JobState=FAILED ExitCode=137:0", "killed", "SIGKILL"),
        ("FAILED|None|n1|s", "JobState=FAILED ExitCode=1:0", "failed", "module: command not found"),
        ("FAILED|None|n1|s", "JobState=FAILED ExitCode=255:0", "failed", "module: command not found"),
        ("FAILED|None|n1|s", "JobState=FAILED ExitCode=0:53", "killed", "killed by signal 53"),
        ("NEWER_WORD|Why|n1|s", "", "queued", "job 7_0: Why"),
        ("COMPLETED|None|n1|s", "", "waiting", ""),
    ],
)
def test_a_job_that_never_came_to_its_cell(commands, sweep, listed, told, state, reason):
    job_log(sweep, "7_0").parent.mkdir()
    job_log(sweep, "7_0").write_text("module: command not found\n")
    commands(squeue=(f"7_0|{listed}\n7_1|PENDING|None||s\n7_2|PENDING|Dependency||s", 0), scontrol=(told, 0))
    found = shown(sweep)
    assert found["a"][0] == state
    assert reason in found["a"][1]
    assert found["c"] == ("queued", "job 7_2: Dependency")


def test_a_job_that_slurm_holds_is_in_trouble_and_cancelled_when_its_cell_is_submitted_again(
    commands, sweep, monkeypatch
):
    commands(squeue=("7_0|PENDING|launch_failed_requeued_held||s\n7_1|PENDING|JobHeldUser||s", 0))
    assert shown(sweep)["a"][0] == "killed"
    assert "SLURM will not try again" in shown(sweep)["a"][1]
    assert shown(sweep)["b"] == ("queued", "job 7_1: JobHeldUser")

    commands(scancel=("no, thank you", 1))
    with pytest.raises(ConfigError, match="held jobs cannot be cancelled: scancel: no, thank you"):
        submit(sweep, options(), sweep.cells[:1])
    asked = []
    monkeypatch.setattr("lic_exp.sweeps.launchers.slurm.submit.ask", asked.append)
    monkeypatch.setattr("lic_exp.sweeps.launchers.slurm.submit._Submission.run", lambda self: self.cells)
    assert submit(sweep, options(), sweep.cells[:2]) == sweep.cells[:1]
    assert asked == [["scancel", "7_0"]]


def test_a_child_whose_parent_failed_is_blocked_not_cancelled(commands, sweep):
    commands(squeue=("7_0|RUNNING|None||s\n7_1|FAILED|None||s\n7_2|CANCELLED|DependencyNeverSatisfied||s", 0))
    begin(sweep, "b", state="failed", reason="RuntimeError: broke", ended=time.time())
    assert shown(sweep)["c"] == ("blocked", "it starts from cell b, which is failed")


def test_a_job_that_was_stopped_waits_for_its_next_turn_until_slurm_says_otherwise(commands, sweep):
    begin(sweep, "a", state="preempted", reason="SIGTERM", ended=time.time())
    commands(squeue=("7_0|COMPLETING|None|n1|s", 0))
    assert shown(sweep)["a"] == ("queued", "job 7_0: asked to stop; it starts again")
    commands(squeue=("7_0|CANCELLED|None|n1|s", 0), scontrol=("JobState=CANCELLED", 0))
    sweep.record_attempt(sweep.by_signature["a"], sweep.attempt(sweep.by_signature["a"]) | {"ended": time.time() + 1})
    assert shown(sweep)["a"][0] == "cancelled"


def test_a_job_that_the_listing_lacks_is_asked_for_by_itself(commands, sweep):
    """As of a colleague's sweep, or one that began after the listing."""
    commands(squeue=("", 0), scontrol=("JobState=RUNNING ExitCode=0:0", 0))
    begin(sweep, "a")
    assert shown(sweep) == {"a": ("running", ""), "b": ("starting", ""), "c": ("starting", "")}


def test_an_end_is_asked_for_once(commands, sweep):
    commands(squeue=("", 0), scontrol=("JobState=CANCELLED ExitCode=0:0", 0))
    first = shown(sweep)
    commands(scontrol=("never asked again", 1))
    assert shown(sweep) == first
    assert first["a"][0] == "cancelled"


def test_a_kill_that_slurm_knows_to_be_for_memory(commands, sweep):
    begin(sweep, "a", state="killed", reason="killed by SIGKILL", exit_code=-9, ended=time.time())
    commands(squeue=("7_0|OUT_OF_MEMORY|OutOfMemory|n1|s", 0), scontrol=("JobState=OUT_OF_MEMORY", 0))
    assert shown(sweep)["a"][0] == "out_of_memory"
    commands(squeue=("7_0|FAILED|NonZeroExitCode|n1|s", 0), scontrol=("JobState=FAILED ExitCode=137:0", 0))
    begin(sweep, "a", state="killed", reason="killed by SIGKILL", exit_code=-9, ended=time.time() + 1)
    assert shown(sweep)["a"] == ("killed", "killed by SIGKILL")


def test_a_controller_that_is_away_is_asked_once_for_all_cells(sweep, commands, monkeypatch):
    asked = []
    monkeypatch.setattr("lic_exp.sweeps.launchers.slurm.queue.RENEW_S", 0.2)

    def slow(command, environment=None):
        asked.append(command)
        time.sleep(0.3)
        raise SlurmError("squeue: no controller")

    monkeypatch.setattr("lic_exp.sweeps.launchers.slurm.queue.ask", slow)
    assert {state for state, _ in shown(sweep).values()} == {"queued"}
    assert len(asked) == 1


def test_a_failure_that_is_tried_again_waits_for_its_turn(commands, sweep):
    begin(sweep, "a", state="time_limit", reason="it reached its time limit", ended=time.time(), again=True)
    commands(squeue=("7_0|PENDING|BeginTime||s", 0))
    assert shown(sweep)["a"] == ("queued", "job 7_0: BeginTime")
    begin(sweep, "a", state="time_limit", reason="it reached its time limit", ended=time.time())
    assert shown(sweep)["a"] == ("time_limit", "it reached its time limit")


def test_a_short_outage_does_not_end_what_waits_for_its_next_turn(commands, sweep):
    begin(sweep, "a", state="time_limit", reason="it reached its time limit", ended=time.time(), again=True)
    assert shown(sweep)["a"][0] == "queued"


def test_from_files_alone(commands, sweep):
    """On a machine without SLURM's commands."""
    begin(sweep, "a")
    found = shown(sweep)
    assert found["a"] == ("running", "")
    assert found["b"] == ("queued", "job 7_1: squeue is not installed on this machine")
    status = sweep.runs / "a" / "status.json"
    status.write_text(json.dumps(json.loads(status.read_text()) | {"heartbeat": time.time() - 999}))
    assert shown(sweep)["a"][0] == "dead"


def test_a_cell_that_was_run_otherwise_since_is_no_job_of_slurms(commands, sweep):
    commands(squeue=("7_0|FAILED|None|n1|s", 0), scontrol=("JobState=FAILED ExitCode=1:0", 0))
    cell = sweep.by_signature["a"]
    sweep.record_attempt(cell, {"pid": 1, "host": "far", "started": time.time(), "state": "time_limit", "reason": "x"})
    assert shown(sweep)["a"] == ("time_limit", "x")


@pytest.fixture
def half_submitted(sweep):
    """The sweep as a submitter leaves it that is killed during sbatch; the file of its array."""
    for cell in sweep.cells:
        sweep.forget_job(cell)
    array = {"name": "s.0a1b", "made": time.time(), "cells": ["b", "a"], "job": None, "options": {}}
    path = array_folder(sweep) / "s.0a1b.json"
    path.parent.mkdir()
    path.write_text(json.dumps(array))
    return path


def test_jobs_of_a_submitter_that_was_killed_are_found_by_their_name(sweep, half_submitted):
    adopt(sweep, {"s.0a1b": ["12_0", "12_1"], "other": ["3_0"]})
    assert {cell.signature: sweep.job(cell).get("job") for cell in sweep.cells} == {"a": "12_1", "b": "12_0", "c": None}
    assert json.loads(half_submitted.read_text())["job"] == "12"
    before = sweep.job(sweep.by_signature["a"])
    adopt(sweep, {})
    assert sweep.job(sweep.by_signature["a"]) == before


def test_an_sbatch_that_may_be_under_way_is_not_repeated(sweep, half_submitted):
    with pytest.raises(ConfigError, match="give the command again in a minute"):
        adopt(sweep, {})
    os.utime(half_submitted, (time.time() - 99, time.time() - 99))
    adopt(sweep, {})
    assert not half_submitted.exists()


def test_without_slurm_nothing_is_submitted_twice(commands, sweep):
    with pytest.raises(ConfigError, match="SLURM cannot be asked: squeue is not installed"):
        submit(sweep, options(), sweep.cells)


def test_what_a_job_asks_for_follows_the_rules_that_fit():
    rules = [
        {"when": {"model": "dhic_paper"}, "mem_gb": 64, "gpus_per_node": 1},
        {"when": {"model": "dhic_paper", "data.batch_size": 32}, "mem_gb": 128, "partition": None},
        {"when": {"trainer.amp": True}, "cpus_per_task": 3},
    ]
    asked = options(resources=rules, partition="main").request
    plain = asked({"model": "dhic_tiny"}, {"data.batch_size": "32"})
    assert (plain["mem_gb"], plain["partition"]) == (None, "main")
    assert set(plain) == set(JobRequest.model_fields)
    large = asked({"model": "dhic_paper"}, {"data.batch_size": "8"})
    assert (large["mem_gb"], large["gpus_per_node"], large["partition"]) == (64, 1, "main")
    larger = asked({"model": "dhic_paper"}, {"data.batch_size": "32", "trainer.amp": "true"})
    assert (larger["mem_gb"], larger["partition"], larger["cpus_per_task"]) == (128, None, 3)


def test_the_options_survive_the_manifest_with_their_rules_as_they_were():
    rules = [{"when": {"model": "dhic_paper"}, "mem_gb": 64}]
    before = options(resources=rules, partition="main")
    after = SlurmOptions.model_validate(json.loads(json.dumps(before.model_dump(exclude_unset=True))))
    assert after.request({"model": "dhic_paper"}, {}) == before.request({"model": "dhic_paper"}, {})
    assert after.request({"model": "dhic_paper"}, {})["partition"] == "main"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"partitoin": "gpu"},
            "hydra.launcher.partitoin: there is no such key. Did you mean hydra.launcher.partition?",
        ),
        ({"timeout_min": 2}, "hydra.launcher: signal_delay_s=120 leaves nothing of timeout_min=2"),
        ({"additional_parameters": {"job_name": "x"}}, "may not hold job_name: the launcher sets that itself"),
        ({"timeout_min": 0}, "hydra.launcher.timeout_min=0: should be greater than or equal to 1"),
        ({"resources": [{"mem_gb": 3}]}, r"hydra.launcher.resources\[0\].when="),
        ({"resources": [{"when": {}, "mem": 3}]}, r"hydra.launcher.resources\[0\].mem=3: Extra inputs"),
    ],
)
def test_wrong_options_are_refused_by_name(wrong, message):
    with pytest.raises(ConfigError, match=message):
        options(**wrong)


def test_parents_are_submitted_before_their_children_and_a_screening_first():
    cells = [Cell("a", "a"), Cell("b", "b", parent="a"), Cell("c", "c"), Cell("d", "d", parent="b")]
    assert [[cell.signature for cell in level] for level in levels(cells)] == [["a", "c"], ["b"], ["d"]]
    assert [[cell.signature for cell in level] for level in levels(cells[1:])] == [["b", "c"], ["d"]], "a is done"
    screened = [Cell("x", "x", group="g"), Cell("y", "y", group="g", first=True)]
    assert [[cell.signature for cell in level] for level in levels(screened)] == [["y"], ["x"]]


def test_sbatch_hears_only_the_defaults_that_the_options_leave_open(monkeypatch):
    for key in ("SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_TIMELIMIT", "SLURM_MEM_PER_NODE", "SLURM_CONF"):
        monkeypatch.setenv(key, "1")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    request = options(partition="gpu").request({}, {})
    with own_environment(request):
        assert {key for key in os.environ if key.startswith("SBATCH")} == {"SBATCH_ACCOUNT"}
        assert "SLURM_MEM_PER_NODE" in os.environ
    monkeypatch.setenv("SLURM_JOB_ID", "3")
    with own_environment(request):
        assert "SLURM_MEM_PER_NODE" not in os.environ, "the shape of the job that the sweep is made in"
        assert os.environ["SLURM_CONF"] == "1"
    assert os.environ["SLURM_JOB_ID"] == "3"


@pytest.mark.parametrize(("job", "waits"), [("7_0", False), ("8_0", True)], ids=["requeued", "another job's"])
def test_a_requeued_job_goes_on_at_once_and_waits_for_no_copy_of_its_own(commands, sweep, job, waits):
    """The copy says that it ran on another node a moment ago."""
    commands(scontrol=("", 1))
    begin(sweep, "a")
    copy = Job(sweep, sweep.by_signature["a"], options(), {"SLURM_JOB_ID": job})
    assert copy._is_taken() == waits
    with run_lock(sweep.run(sweep.by_signature["a"]).files):
        assert copy._is_taken()


def test_the_number_of_a_job_is_the_one_that_squeue_shows():
    assert job_number({"SLURM_JOB_ID": "12"}) == "12"
    assert job_number({"SLURM_JOB_ID": "14", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "2"}) == "12_2"
