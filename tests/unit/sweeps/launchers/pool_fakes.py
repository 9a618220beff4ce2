"""Cells that are scripts of a few milliseconds, and what tests ask of a sweep of them."""

import yaml

from lic_exp.places import conf_folder
from lic_exp.sweeps.launcher import launcher_options
from lic_exp.sweeps.launchers.local.pool import Pool
from lic_exp.sweeps.states import states

FAKE = """
import json, os, pathlib, signal, socket, sys, time
path = pathlib.Path(sys.argv[1])
cell = json.loads(path.read_text())
run = path.parents[3] / cell["signature"]
run.mkdir(exist_ok=True)
def say(state, reason="", best=None):
    status = {"state": state, "reason": reason, "best": best, "pid": os.getpid(), "host": socket.gethostname()}
    (run / "status.json").write_text(json.dumps(status | {"heartbeat": time.time(), "started": time.time()}))
def stop(*_):
    say("preempted", "SIGTERM")
    os._exit(75)
signal.signal(signal.SIGTERM, stop)
with open(run / "begun", "a") as file:
    file.write(f"{time.time()} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
say("running")
does = cell["does"]
if does.startswith("wait"):
    while not (run.parent / "go").exists():
        time.sleep(0.01)
if does == "damage":
    (run / "status.json").write_text('{"state": "run')
    sys.exit(1)
if does == "stop":
    os.kill(os.getpid(), signal.SIGTERM)
if does == "diverge":
    say("diverged", "the loss is nan")
    sys.exit(3)
if does == "refuse":
    sys.exit(2)
if does == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if does.endswith("raise") or (does == "once" and len((run / "begun").read_text().splitlines()) == 1):
    say("failed", "RuntimeError: broke")
    sys.exit(1)
say("done", best=cell["best"])
(run / "ended").write_text(str(time.time()))
"""


def options(**changes):
    node = yaml.safe_load((conf_folder() / "hydra/launcher/local.yaml").read_text())
    node.pop("kind")
    return launcher_options("local", node | {"grace_s": 5} | changes)


def run(sweep, stop=lambda: None, **changes):
    """Run it; what was told."""
    told = []
    Pool(sweep, sweep.cells, options(**changes), stop, told.append).run()
    return told


def shown(sweep):
    return {name: one.state for name, one in states(sweep).items()}


def begun(sweep, name):
    """When its attempts began, and with which GPU."""
    path = sweep.runs / name / "begun"
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(float(when), gpu) for when, gpu in lines]
