"""What a training does not load, since it does not need it: each of these takes a tenth of a second or a whole one."""

import json

import pytest
from commands import QUICK, finish, start

LATER = ("torch._dynamo", "triton", "pandas", "mlflow", "compressai", "torchvision")

PROGRAM = f"""
import json, os, sys
from lic_exp.cli.launch import main
from lic_exp.runs import train

def in_place_of_counting(*_):
    print("SEEN", json.dumps([name for name in {LATER!r} if name in sys.modules]), flush=True)

# The first that loads the compiler, once all steps are made and saved; what comes then reads a table.
train.record_complexity = in_place_of_counting
for line in json.loads(sys.argv[1]):
    if not os.fork():
        os._exit(main(line))
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
"""

SHORT = (
    *QUICK,
    *("trainer.max_steps=2", "trainer.log_every_steps=1", "trainer.checkpoint_every_steps=1"),
    *("data.batch_size=1", "data.crop_size=128", "data.height=128", "data.width=128"),
)

LINES = {
    "variable rates": ["model=dhic_tiny", "criterion=variable_rate"],
    "a walk in many steps, after an input that is truncated": [
        *("model=hpcm_tiny", "spectral_reg=intra", "spectral_reg.truncation_length=1", "optimizer=muon"),
    ],
    "an average, a clip, another optimizer": [
        *("model=dhic_tiny", "criterion=variable_rate", "trainer.ema_decay=0.9", "optimizer=sgd", "optimizer.lr=1e-6"),
    ],
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Of each training what was loaded when it had made its last step."""
    lines = [[*SHORT, *line, "paths.runs=runs"] for line in LINES.values()]
    done = finish(start("-c", PROGRAM, json.dumps(lines), folder=tmp_path_factory.mktemp("place")))
    assert done.returncode == 0, done.stdout + done.stderr
    told = [json.loads(line.removeprefix("SEEN ")) for line in done.stdout.splitlines() if line.startswith("SEEN ")]
    return dict(zip(LINES, told, strict=True))


@pytest.mark.parametrize("what", LINES)
def test_a_training_loads_neither_the_compiler_nor_what_tables_are_made_with(seen, what):
    assert seen[what] == []
