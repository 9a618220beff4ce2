"""One training or evaluation at a time in a process; and nothing public changes the random numbers of who calls it."""

import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
import toy
from training_parts import unequal

import lic_exp
from lic_exp import exit_codes
from lic_exp.cli.launch import main
from lic_exp.config.errors import ConfigError
from lic_exp.runs import attempt
from lic_exp.runs.evaluate import evaluate_run, load_codec
from lic_exp.runs.export import export_codec
from lic_exp.runs.lock import RunBusyError
from lic_exp.runs.one_at_a_time import one_at_a_time
from lic_exp.training.rng import rng_state

SHORT = [*toy.SHORT_RUN, f"plugins=[{toy.NAME}]", "evaluation.pictures=1"]


def in_a_thread(action):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(action).result(timeout=120)


def start(folder, *overrides):
    return lic_exp.run([*SHORT, f"paths.runs={folder}", *overrides], quiet=True)


@pytest.fixture(scope="module")
def done(toy_folder, tmp_path_factory):
    return start(tmp_path_factory.mktemp("runs"))


@pytest.mark.usefixtures("toy_folder")
@pytest.mark.parametrize("what", ["run", "evaluate", "create_model", "create_regularizer", "export"])
@pytest.mark.parametrize("thread", ["another", "the same"])
def test_beside_a_run_another_is_refused(tmp_path, done, what, thread):
    """What a run itself may need, such as its own evaluation, its own thread may do."""
    actions = {
        "run": lambda: start(tmp_path, "seed=1"),
        "evaluate": lambda: evaluate_run(done, folder=tmp_path / "evaluation"),
        "create_model": lambda: lic_exp.create_model("factorized_tiny"),
        "create_regularizer": lambda: lic_exp.create_regularizer("intra"),
        "export": lambda: export_codec(done, last=False),
    }
    with one_at_a_time("trains run 0123"):
        if thread == "the same" and what != "run":
            actions[what]()
            return
        with pytest.raises(RunBusyError, match=r"this process trains run 0123 already.*process of its own.*sweep"):
            in_a_thread(actions[what]) if thread == "another" else actions[what]()
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("toy_folder")
def test_of_two_runs_in_two_threads_one_is_as_alone_and_one_is_refused(tmp_path, done, monkeypatch):
    begun, tried = threading.Event(), threading.Event()
    train = attempt.train

    def waiting(*arguments):
        begun.set()
        assert tried.wait(120)
        train(*arguments)

    monkeypatch.setattr(attempt, "train", waiting)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(start, tmp_path)
        assert begun.wait(120)
        with pytest.raises(RunBusyError):
            start(tmp_path, "seed=1")
        tried.set()
        run = first.result(timeout=120)
    weights = [load_codec(one, torch.device("cpu")).state_dict() for one in (run, done)]
    assert unequal(*weights) == []


@pytest.mark.usefixtures("toy_folder")
def test_the_command_leaves_with_the_code_for_busy(tmp_path, capfd):
    with one_at_a_time("evaluates run 0123"):
        assert main([*SHORT, f"paths.runs={tmp_path}"]) == exit_codes.BUSY
    assert "this process evaluates run 0123 already" in capfd.readouterr().err


def test_short_things_wait_for_each_other():
    made = []

    def model(seed):
        made.append(lic_exp.create_model("factorized_tiny", seed=seed).state_dict())

    threads = [threading.Thread(target=model, args=(seed % 2,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = [lic_exp.create_model("factorized_tiny", seed=seed).state_dict() for seed in (0, 1)]
    assert [sum(unequal(one, other) == [] for one in made) for other in alone] == [2, 2]


def test_a_process_that_was_forked_meanwhile_has_its_own_turn():
    code = (
        "import os, lic_exp\n"
        "from lic_exp.runs.one_at_a_time import one_at_a_time\n"
        "with one_at_a_time('trains run 0123'):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        with one_at_a_time('trains run 4567'):\n"
        "            os._exit(7)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout.strip() == "7"


def stirred():
    torch.manual_seed(123)
    random.seed(123)
    np.random.seed(123)  # noqa: NPY002 (a caller's)
    torch.rand(3)
    return rng_state()


@pytest.mark.usefixtures("toy_folder", "two_threads")
@pytest.mark.parametrize(
    "what",
    [
        *("create_model", "create_regularizer", "complexity", "load_config", "run", "again", "failing", "refused"),
        *("evaluate", "load_codec", "export", "metrics"),
    ],
)
def test_a_callers_random_numbers_and_threads_stay(tmp_path, done, what):
    def failing():
        with pytest.raises(RuntimeError, match="the toy broke"):
            start(tmp_path, "model.trouble=raise", "trainer.threads=1")
        with one_at_a_time("trains the next"):
            pass

    def refused():
        with pytest.raises(ConfigError):
            start(tmp_path, "model.channels=0")

    actions = {
        "create_model": partial(lic_exp.create_model, "hyperprior_tiny", seed=5),
        "create_regularizer": partial(lic_exp.create_regularizer, "inter"),
        "complexity": partial(lic_exp.complexity, "hyperprior_tiny"),
        "load_config": partial(lic_exp.load_config, SHORT),
        "run": partial(start, tmp_path, "trainer.threads=1"),
        "again": partial(start, done.folder.parent),
        "failing": failing,
        "refused": refused,
        "evaluate": partial(evaluate_run, done, folder=tmp_path),
        "load_codec": partial(load_codec, done, torch.device("cpu")),
        "export": partial(export_codec, done, last=True),
        "metrics": lambda: done.metrics,
    }
    before = stirred()
    actions[what]()
    assert unequal(before, rng_state()) == []
    assert torch.get_num_threads() == 2


def test_a_model_without_values_is_made_on_the_device_that_its_caller_named():
    before = stirred()
    with torch.device("meta"):
        assert next(lic_exp.create_model("dhic_tiny").parameters()).is_meta
    assert unequal(before, rng_state()) == []
