"""Whatever stands in a file that is read back: commands end in words, and no other run is lost.

Commands run in this process, on run folders made by hand; nothing is trained.
"""

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_runs import write_run

from analysis.errors import AnalysisError
from analysis.runs import load_runs
from analysis.studies import load_study
from analysis.sweep_manifests import find_sweep
from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.cli.starting import start
from lic_exp.config.loading import load_config
from lic_exp.config.schema import RunConfig
from lic_exp.sweeps.launchers.slurm import queue
from lic_exp.tracking.run_folder import encode_metrics

OVERRIDES = ["model=hyperprior_tiny", "tracker=none", "evaluation.enabled=false", "trainer.max_steps=4"]
OTHERS = ("a" * 16, "b" * 16)
LINES = [{"step": step, "epoch": 0, "time": 1e9 + step, "val/rd_loss": 1 / step} for step in range(1, 5)]
IMAGES = "image,height,width,bpp,psnr,ms_ssim,ms_ssim_db,exact\n0001,64,64,0.5,30.0,,,True\n"
CODES = (exit_codes.DONE, exit_codes.CONFIG)

KEYS = (
    *(
        "schema_version",
        "state",
        "reason",
        "host",
        "pid",
        "heartbeat",
        "attempt",
        "started",
        "finished",
        "step",
        "best",
    ),
    *("max_steps", "skipped", "name", "parent", "sweep", "code", "evaluation", "mean", "points", "exact", "packages"),
    *("cells", "signature", "label", "role", "made", "plugins", "launched_by", "launcher", "trials", "table", "study"),
    *("overrides", "experiment", "scale", "variant", "seed", "rate", "job", "submitted", "ended", "exit_code", "ticks"),
    *("config", "given", "model", "data", "tags", "criterion", "lmbda", "parameters", "macs_per_pixel", "stages"),
    *("_target_", "trainer", "paths", "log_begin", "slot", "time", "epoch", "val/rd_loss", "tracker", "command"),
)


class Place(NamedTuple):
    """The folder of runs, the config of the damaged run, and what its files held: {path: bytes}."""

    runs: Path
    config: RunConfig
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    here = tmp_path_factory.mktemp("any_content")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        config = load_config(OVERRIDES)
        patch.setattr("lic_exp.runs.story.load_config", lambda given: config)  # the defaults, composed once
        patch.setattr("lic_exp.runs.attempt.execute", lambda *_, **__: None)
        patch.setattr(queue, "ask", _no_slurm)
        yield _made(here / "runs", config)


def _no_slurm(*_: Any) -> str:
    raise queue.SlurmError("there is no SLURM here")


def _made(runs: Path, config: RunConfig) -> Place:
    name = config.signature
    for signature in (name, *OTHERS):
        folder = write_run(runs / signature, config, files=["best.pt"])
        (folder / "metrics.jsonl").write_text("".join(map(encode_metrics, LINES)))
        (folder / "environment.json").write_text(json.dumps({"git_commit": "ab", "packages": {"torch": "2"}}))
        (folder / "complexity.json").write_text(
            json.dumps(dict.fromkeys(["parameters", *(f"{k}macs_per_pixel" for k in ("", "encode_", "decode_"))], 2))
        )
        (folder / "eval").mkdir()
        (folder / "eval" / "images.csv").write_text(IMAGES)
        (folder / "eval" / "evaluation.json").write_text(json.dumps({"mean": {"bpp": 0.5}, "exact": True}))
    for sweep, cells in (("one-00000000", [name, "c" * 16]), ("two-00000000", list(OTHERS))):
        folder = runs / ".sweeps" / sweep
        (folder / "cells").mkdir(parents=True)
        listed = [{"signature": cell, "label": f"cell {cell}", "role": {"seed": 0}} for cell in cells]
        (folder / "manifest.json").write_text(json.dumps({"made": "2026-01-01", "cells": listed, "path": []}))
    (runs / ".tables").mkdir()
    sweep = ".sweeps/one-00000000"
    damaged = [*(f"{name}/{file}" for file in OF_A_RUN), f"{sweep}/manifest.json", f"{sweep}/pool.json"]
    damaged += [
        f"{sweep}/cells/{cell}.{kind}" for cell in (name, "c" * 16) for kind in ("attempt", "job", "exit", "json")
    ]
    damaged += [".tables/table2-00000000.json"]
    return Place(runs, config, {file: _content(runs / file) for file in damaged})


OF_A_RUN = (
    *("status.json", "config.yaml", "environment.json", "complexity.json", "metrics.jsonl"),
    *("eval/evaluation.json", "eval/images.csv", "eval/other/evaluation.json", "eval/other/images.csv"),
)


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def said_by(*arguments: str) -> str:
    """What a command says, once it has ended in words."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    assert code in CODES, f"{arguments} ends with {code}"
    return out.getvalue() + err.getvalue()


def check(place: Place, file: str, content: bytes) -> None:
    """Damage one file, run every command, and mend it again."""
    path = place.runs / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    try:
        _check_commands(place.config.signature)
        _check_analysis(place.config.signature)
        _check_launch(place.config)
        said_by("gc", "--yes")
        assert all(
            (place.runs / name / "checkpoints" / "best.pt").exists() for name in (*OTHERS, place.config.signature)
        )
    finally:
        if place.files[file]:
            path.write_bytes(place.files[file])
        else:
            path.unlink()


def _check_commands(signature: str) -> None:
    listed = said_by("ls")
    assert all(name[:8] in listed for name in (*OTHERS, signature)), "a run is hidden"
    said_by("show", signature)
    assert "done" in said_by("show", OTHERS[0])
    assert said_by("status", "two", "--json").count('"state": "done"') == 2
    said_by("status")
    said_by("status", "one")


def _check_analysis(signature: str) -> None:
    read = load_runs("runs", cache=False)
    assert set(read.runs["signature"]) == {signature, *OTHERS}
    whole = read.where(read.runs["signature"] != signature)
    assert list(whole.runs["state"]) == ["done", "done"]
    assert len(whole.metrics) == 2 * len(LINES)
    assert len(whole.means()) == 2
    read.means()
    for load in (lambda: find_sweep("one"), find_sweep, lambda: load_study("table2")):
        with contextlib.suppress(AnalysisError):
            load()
    assert len(find_sweep("two").cells) == 2


def _check_launch(config: RunConfig) -> None:
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        code = start(config, [])
    assert code in CODES, err.getvalue()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.integers(10**300, 10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner),
    max_leaves=8,
)
FILES = st.sampled_from(
    (
        *(("run", file) for file in OF_A_RUN),
        *(("sweep", file) for file in ("manifest.json", "pool.json")),
        *(("cell", kind) for kind in ("attempt", "job", "exit", "json")),
        *(("other", kind) for kind in ("attempt", "job", "exit", "json")),
        ("table", ""),
    )
)


def path_of(place: Place, file: tuple[str, str]) -> str:
    kind, name = file
    sweep = ".sweeps/one-00000000"
    return {
        "run": f"{place.config.signature}/{name}",
        "sweep": f"{sweep}/{name}",
        "cell": f"{sweep}/cells/{place.config.signature}.{name}",
        "other": f"{sweep}/cells/{'c' * 16}.{name}",
        "table": ".tables/table2-00000000.json",
    }[kind]


def any_json(place: Place, file: tuple[str, str], value: Any, keep: bool) -> None:
    """The value as the file; or, where both are objects, over what the file held."""
    path = path_of(place, file)
    before = place.files[path]
    if keep and isinstance(value, dict) and path.endswith(("json", "attempt", "job")) and before:
        value = json.loads(before) | value
    check(place, path, json.dumps(value).encode() + b"\n")


def any_line(place: Place, file: tuple[str, str], line: bytes, share: float) -> None:
    """The bytes somewhere in the file."""
    path = path_of(place, file)
    before = place.files[path]
    at = round(share * len(before))
    check(place, path, before[:at] + line + before[at:])


JSON_CASES = given(file=FILES, value=JSON, keep=st.booleans())
LINE_CASES = given(file=FILES, line=st.binary(max_size=40), share=st.floats(0, 1))


def cases(count: int, **more: Any) -> settings:
    return settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck), **more)


@cases(100, derandomize=True)
@JSON_CASES
def test_any_json_in_any_file(place, file, value, keep):
    any_json(place, file, value, keep)


@cases(100, derandomize=True)
@LINE_CASES
def test_any_bytes_in_any_file(place, file, line, share):
    any_line(place, file, line, share)


@pytest.mark.slow
@pytest.mark.soak
@cases(1000)
@JSON_CASES
def test_much_json_in_any_file(place, file, value, keep):
    any_json(place, file, value, keep)


@pytest.mark.slow
@pytest.mark.soak
@cases(1000)
@LINE_CASES
def test_many_bytes_in_any_file(place, file, line, share):
    any_line(place, file, line, share)
