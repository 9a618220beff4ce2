"""What `device=auto` and `threads=null` became is recorded, and kept to where a training goes on."""

import pytest
import torch
from commands import QUICK
from made_runs import write_run

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.random_streams import RANDOM_STREAMS
from lic_exp.records import checked_value
from lic_exp.runs import numerics as runs_numerics
from lic_exp.runs.numerics import compiled_on_record, keep_to_record, numerics
from lic_exp.tracking.kinds import Numerics
from lic_exp.tracking.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("two_threads")

CPU = torch.device("cpu")
SMALL = ("model=factorized_tiny", *QUICK, "trainer.threads=null", "trainer.max_steps=4")
OTHERWISE = [
    ("torch", "1.99.0"),
    ("device_name", "Analytical Engine"),
    ("device", "cuda"),
    ("instructions", "NONE"),
    ("matmul", "medium"),
    ("deterministic", True),
    ("mkldnn", False),
    ("world_size", 8),
    ("memory_format", "channels_last"),
    ("compile", True),
    ("random_streams", 1),
]


@pytest.fixture(scope="module")
def config():
    return load_config(SMALL)


@pytest.fixture
def stopped(tmp_path, config):
    """Makes the folder of a run that was stopped, or is done, with these changes of what is on record of it."""

    def made(name: str = "aaaa", state: str = "preempted", **changes: object) -> RunFolder:
        files = ["step_00000002.pt"] if state == "preempted" else ["step_00000002.pt", "step_00000004.pt", "best.pt"]
        known = [{**numerics(config, CPU), **changes}]
        return RunFolder(write_run(tmp_path / name, config, state, files=files, max_steps=4, numerics=known))

    return made


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_record_is_what_status_json_is_read_by(config, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Difference Engine")
    record = numerics(config, torch.device(device), 3)
    checked_value("status.json", record, Numerics)
    assert record.keys() <= Numerics.__annotations__.keys()
    assert (record["device"], record["from_step"], record["world_size"]) == (device, 3, 1)
    assert ("cudnn_benchmark" in record) == (record["device_name"] == "Difference Engine") == (device == "cuda")


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_recorded_number_of_threads_is_set_again(config, stopped, threads):
    keep_to_record(config, stopped(threads=threads), CPU)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("key", "value"), OTHERWISE)
def test_any_other_difference_is_refused_by_name(config, stopped, key, value):
    with pytest.raises(ConfigError, match=r"run aaaa would go on otherwise than it was trained") as raised:
        keep_to_record(config, stopped(**{key: value}), CPU)
    assert f"{key} " in str(raised.value)
    assert "trainer.resume_elsewhere=true" in str(raised.value)


def test_a_record_of_an_earlier_version_is_one_of_the_former_streams(config, stopped):
    run = stopped()
    (known,) = run.status()["numerics"]
    run.update_status(numerics=[{key: value for key, value in known.items() if key != "random_streams"}])
    with pytest.raises(
        ConfigError, match=r"random_streams 2, not 1 \(an earlier version of this package drew"
    ) as raised:
        keep_to_record(config, run, CPU)
    assert "or begin it anew with trainer.resume=never" in str(raised.value)


@pytest.mark.parametrize("override", ["trainer.resume_elsewhere=true", "trainer.resume=never"])
def test_what_is_asked_for_is_not_refused(stopped, override):
    keep_to_record(load_config([*SMALL, override]), stopped(torch="1.99.0"), CPU)


def test_an_extension_goes_on_as_its_parent_was_trained(stopped):
    child = load_config([*SMALL, "parent='aaaa'", "trainer.max_steps=8"])
    parent = stopped(state="done", threads=1)
    folder = RunFolder(parent.root.parent / "bbbb")
    keep_to_record(child, folder, CPU)
    assert torch.get_num_threads() == 1
    parent.update_status(numerics=[parent.status()["numerics"][0] | {"torch": "1.99.0"}])
    with pytest.raises(ConfigError, match=r"run bbbb would go on otherwise than its parent was trained.*torch "):
        keep_to_record(child, folder, CPU)


@pytest.mark.parametrize(("begun", "refused"), [("parent_step=2", False), ("parent_step=null", True)])
def test_a_branch_goes_on_as_its_trunk_was_trained_up_to_there(stopped, begun, refused):
    """The trunk went on elsewhere after step 2."""
    branch = load_config([*SMALL, "parent='aaaa'", begun, "trainer.max_steps=8"])
    trunk = stopped(state="done", threads=1)
    (first,) = trunk.status()["numerics"]
    trunk.update_status(numerics=[first, {**first, "from_step": 2, "torch": "1.99.0"}])
    folder = RunFolder(trunk.root.parent / "bbbb")
    if refused:
        with pytest.raises(ConfigError, match=r"than its parent was trained.*torch "):
            keep_to_record(branch, folder, CPU)
    else:
        keep_to_record(branch, folder, CPU)
        assert torch.get_num_threads() == 1


@pytest.mark.parametrize("before", [False, True, "blocks"])
@pytest.mark.parametrize("now", [False, True])
def test_auto_goes_on_as_the_training_began(config, stopped, monkeypatch, before, now):
    """An extension is longer, and another version has measured more: neither makes it another training."""
    monkeypatch.setattr(runs_numerics, "compiled_as", lambda config, device: now)
    run, auto = stopped(compile=before), load_config([*SMALL, "trainer.compile=auto"])
    keep_to_record(auto, run, CPU)
    assert compiled_on_record(auto, run, CPU) == before
    child = load_config([*SMALL, "trainer.compile=auto", "parent='cccc'", "trainer.max_steps=8"])
    stopped("cccc", "done", compile=before)
    assert compiled_on_record(child, RunFolder(run.root.parent / "bbbb"), CPU) == before
    anew = load_config([*SMALL, "trainer.compile=auto", "trainer.resume=never"])
    assert compiled_on_record(anew, run, CPU) == now
    elsewhere = stopped("dddd", compile=before, device_name="Analytical Engine")
    assert compiled_on_record(auto, elsewhere, CPU) == now


def test_a_run_that_is_at_its_last_step_makes_none_elsewhere(config, stopped):
    """What is left of it, its evaluation, computes by rules of its own."""
    keep_to_record(config, stopped(state="done", torch="1.99.0"), CPU)


@pytest.mark.parametrize(
    "numbers", [[], [{"from_step": 0, "random_streams": RANDOM_STREAMS}], [{"from_step": 2, "torch": "1.99.0"}]]
)
def test_what_is_not_on_record_is_not_held_against_it(config, stopped, numbers):
    """The last: it was to go on from the checkpoint that is still the newest, and has made no step."""
    run = stopped()
    run.update_status(numerics=numbers)
    keep_to_record(config, run, CPU)
    assert torch.get_num_threads() == 2
