"""One damaged file of a sweep is one cell's, or one sweep's, own trouble."""

import json
import time

import pytest
from damage import OTHER_JSON

from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.config.errors import ConfigError
from lic_exp.sweeps.estimates import known_paces
from lic_exp.sweeps.folder import FOLDER, SweepFolder, find_sweep, kept_manifest, sweeps
from lic_exp.sweeps.states import states
from lic_exp.tracking.run_folder import RunFolder

DAMAGE = pytest.mark.parametrize("content", OTHER_JSON.values(), ids=list(OTHER_JSON))
WRONG_MANIFESTS = [
    {"cells": {}},
    {"cells": [{"signature": "aaaa"}]},
    {"cells": [{"signature": 3, "label": "x"}]},
    {"cells": [{"signature": "../../etc", "label": "x"}]},
    {"cells": [{"signature": "a\0b", "label": "x"}]},
    {"cells": [{"signature": "aaaa", "label": "x", "parent": "gone"}]},
    {"cells": [{"signature": "aaaa", "label": "x", "parent": "aaaa"}]},
    {"cells": [{"signature": "a", "label": "x", "parent": "b"}, {"signature": "b", "label": "y", "parent": "a"}]},
    {"cells": [{"signature": "aaaa", "label": "x", "role": ["seed"]}]},
    {"cells": [], "made": 3},
    {"cells": [], "plugins": "toy"},
    {"cells": [], "trials": [{"values": {}, "signature": "gone"}]},
]


def manifest_of(*cells, **more):
    return {"cells": [{"signature": name, "label": f"cell {name}", "role": {}} for name in cells]} | more


@pytest.fixture
def two(make_run, tmp_path):
    """The folders of two sweeps: `first-00000000` of aaaa, `other-11111111` of bbbb to eeee; all but eeee are done."""
    for name in ("aaaa", "bbbb", "cccc", "dddd"):
        make_run(name)
    found = []
    for name, cells in (("first-00000000", ["aaaa"]), ("other-11111111", ["bbbb", "cccc", "dddd", "eeee"])):
        folder = tmp_path / "runs" / FOLDER / name
        (folder / "cells").mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps(manifest_of(*cells, made="2026-01-01")))
        found.append(folder)
    return found


@pytest.mark.parametrize("content", [*OTHER_JSON.values(), *(json.dumps(wrong).encode() for wrong in WRONG_MANIFESTS)])
def test_a_damaged_manifest_is_its_sweeps_own(two, content, capsys):
    first, _ = two
    (first / "manifest.json").write_bytes(content)
    assert main(["status", "other"]) == exit_codes.DONE
    assert main(["status"]) == exit_codes.DONE
    said = capsys.readouterr()
    assert said.out.count("cell bbbb") == 2
    assert said.err.count("passed over: ") == 1
    assert f"{FOLDER}/first-00000000/manifest.json cannot be read: " in said.err
    assert main(["status", "first"]) == exit_codes.CONFIG
    assert "manifest.json cannot be read: " in capsys.readouterr().err
    assert [sweep.name for sweep in sweeps("runs")] == ["first-00000000", "other-11111111"]
    assert kept_manifest(first) == {}, "the sweep's command makes it anew"
    assert "it is made anew" in capsys.readouterr().err


def test_a_newer_manifest_is_left_alone(two):
    (two[0] / "manifest.json").write_text(json.dumps({"schema_version": 3, "cells": 4}))
    with pytest.raises(ConfigError, match="a newer version"):
        kept_manifest(two[0])


def shown(folder):
    return {name: one.state for name, one in states(SweepFolder(folder)).items()}


@DAMAGE
@pytest.mark.parametrize("kind", ["attempt", "job", "exit", "json", "cancelled"])
def test_a_cells_damaged_record_is_its_own(two, kind, content):
    _, other = two
    before = shown(other)
    assert before == {"bbbb": "done", "cccc": "done", "dddd": "done", "eeee": "waiting"}
    for name in ("bbbb", "eeee"):
        (other / "cells" / f"{name}.{kind}").write_bytes(content)
    unbegun = {"attempt": "unreadable", "job": "unreadable", "cancelled": "cancelled"}.get(kind, "waiting")
    assert shown(other) == before | {"eeee": unbegun}
    if unbegun == "unreadable":
        assert f"eeee.{kind} cannot be read: " in states(SweepFolder(other))["eeee"].reason


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"started": "yesterday"},
        {"started": 1.0, "pid": "one", "host": "far"},
        {"started": 1.0, "pid": 10**400},
        {"started": 1.0, "state": 3},
        {"started": 1.0, "log_begin": []},
        {"started": 1.0, "ended": "now"},
    ],
    ids=str,
)
def test_wrong_types_in_an_attempt(two, record):
    (two[1] / "cells" / "eeee.attempt").write_text(json.dumps(record))
    assert shown(two[1])["eeee"] == "unreadable"


@DAMAGE
def test_a_damaged_status_is_its_cells_own(two, content):
    _, other = two
    (other.parents[1] / "cccc" / "status.json").write_bytes(content)
    assert shown(other) == {"bbbb": "done", "cccc": "unreadable", "dddd": "done", "eeee": "waiting"}


@DAMAGE
@pytest.mark.parametrize("line", ["status other", "status other --json", "logs other", "cancel other", "explain aaaa"])
def test_a_damaged_pool_record_ends_no_command(two, content, line):
    (two[1] / "pool.json").write_bytes(content)
    assert main(line.split()) == exit_codes.DONE


@DAMAGE
def test_paces_are_known_from_the_other_runs(two, content):
    runs = two[0].parents[1]
    for name, seconds in (("aaaa", 50), ("bbbb", 100)):
        now = time.time()
        more = {"throughput_key": "k", "attempt": 1, "max_steps": 100, "finished": now, "started": now - seconds}
        RunFolder(runs / name).update_status(**more)
    (runs / "aaaa" / "status.json").write_bytes(content)
    (runs / "cccc" / "status.json").write_text(
        json.dumps({"state": "done", "attempt": 1, "max_steps": 5, "throughput_key": "k", "finished": 3.0})
    )
    assert known_paces(runs) == {"k": pytest.approx(1.0)}


@pytest.mark.parametrize(
    ("name", "there", "found"),
    [
        ("table1", ["table1-11111111", "table10-22222222"], "table1-11111111"),
        ("table1", ["table10-22222222"], None),
        ("table10", ["table1-11111111", "table10-22222222"], "table10-22222222"),
        ("table", ["table10-22222222"], "table10-22222222"),
        ("tau_init", ["tau_init-11111111", "tau_init_of_mine-22222222"], "tau_init-11111111"),
    ],
)
def test_an_experiments_whole_name_is_no_beginning_of_anothers(name, there, found, tmp_path):
    for sweep in there:
        (tmp_path / FOLDER / sweep).mkdir(parents=True)
        (tmp_path / FOLDER / sweep / "manifest.json").write_text(json.dumps(manifest_of("aaaa")))
    if found is None:
        with pytest.raises(ConfigError, match=f"there is no sweep {name}. There are: {there[0]}"):
            find_sweep(name, str(tmp_path))
    else:
        assert find_sweep(name, str(tmp_path)).name == found
