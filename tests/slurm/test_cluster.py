"""The test cluster itself: it does what the tests of the launcher lean on, and leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

import cluster_processes
import pytest
from cluster import Cluster
from cluster_commands import wait_for
from cluster_settings import NODES

pytestmark = [pytest.mark.slow, pytest.mark.slurm]


@pytest.fixture
def clear_cluster(slurm_cluster):
    slurm_cluster.clear()
    return slurm_cluster


def test_a_job_runs_on_each_node(clear_cluster, tmp_path):
    says = 'echo "$SLURMD_NODENAME $CUDA_VISIBLE_DEVICES"'
    for node in NODES:
        job = clear_cluster.submit(says, f"--nodelist={node}", "--gres=gpu:2", f"--output={tmp_path}/{node}")
        assert clear_cluster.wait_job(job, "COMPLETED")["ExitCode"] == "0:0"
        assert (tmp_path / node).read_text().split() == [node, "0,1"]


def test_a_job_that_fails_says_so(clear_cluster):
    job = clear_cluster.submit("exit 3")
    assert clear_cluster.wait_job(job, "FAILED")["ExitCode"] == "3:0"


def test_too_much_memory_ends_a_job(clear_cluster, tmp_path):
    script = f"{sys.executable} -c 'import time; held = b\"x\" * 2**28; time.sleep(60)'"
    job = clear_cluster.submit(script, "--mem=100M", f"--output={tmp_path}/log")
    assert clear_cluster.wait_job(job, "FAILED")["ExitCode"] == "0:9"
    assert "Exceeded job memory limit" in (tmp_path / "log").read_text()


def test_a_killed_node_is_noticed_and_its_job_runs_again(clear_cluster):
    job = clear_cluster.submit("sleep 2000", "--nodelist=n1")
    clear_cluster.wait_job(job, "RUNNING")
    clear_cluster.kill_node("n1")
    assert not cluster_processes.belonging(clear_cluster.folder, "n1")
    wait_for(lambda: clear_cluster.node_states()["n1"].startswith("down"), 90, "n1 is not down")
    clear_cluster.start_node("n1")
    wait_for(lambda: clear_cluster.job(job)["Restarts"] == "1", 60, "the job is not requeued")
    assert clear_cluster.wait_job(job, "RUNNING")["NodeList"] == "n1"


def test_an_urgent_job_takes_the_place_of_another(clear_cluster):
    options = ("--nodelist=n1", "--exclusive")
    job = clear_cluster.submit("sleep 2000", *options)
    clear_cluster.wait_job(job, "RUNNING")
    urgent = clear_cluster.submit("true", "--partition=urgent", *options)
    clear_cluster.wait_job(urgent, "COMPLETED")
    assert clear_cluster.wait_job(job, "RUNNING")["Restarts"] == "1"


def test_jobs_survive_their_controller(clear_cluster):
    job = clear_cluster.submit("sleep 3; exit 4")
    clear_cluster.wait_job(job, "RUNNING")
    clear_cluster.stop_controller()
    clear_cluster.start_controller()
    assert clear_cluster.wait_job(job, "FAILED")["ExitCode"] == "4:0"


def test_accounting_remembers(accounted_cluster):
    job = accounted_cluster.submit("exit 3")
    row = ("--noheader", "--parsable2", "--allocations", f"--jobs={job}", "--format=State,ExitCode")
    wait_for(lambda: accounted_cluster.sacct(*row) == "FAILED|3:0\n", 60, "sacct does not know the failure")


def test_settings_can_be_changed_and_stop_leaves_nothing():
    with Cluster(changes={"MaxArraySize": "5"}) as cluster:
        with pytest.raises(RuntimeError, match="Invalid job array specification"):
            cluster.submit("true", "--array=0-5")
        cluster.submit("sleep 2000", "--array=0-3")
        wait_for(lambda: cluster.squeue("--noheader", "--states=RUNNING"), 30, "no job started")
    assert not cluster_processes.belonging(cluster.folder)
    assert not cluster.folder.exists()


def test_a_start_that_fails_quotes_the_logs_and_leaves_nothing():
    cluster = Cluster(changes={"SelectType": "select/unheard_of"})
    with pytest.raises(RuntimeError, match="slurmctld ended with 1 while starting") as caught:
        cluster.start()
    assert "unheard_of" in "".join(caught.value.__notes__)
    assert not cluster_processes.belonging(cluster.folder)


def test_the_cluster_of_a_killed_process_ends_too():
    command = [sys.executable, str(Path(__file__).with_name("cluster.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        folder = Path(owner.stdout.readline().strip().partition("=")[2]).parent
        daemons = cluster_processes.belonging(folder)
        owner.kill()
    assert len(daemons) >= 4
    wait_for(lambda: not folder.exists(), 60, f"{folder} is still there")
    assert not cluster_processes.belonging(folder)
