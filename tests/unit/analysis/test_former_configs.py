"""Runs that earlier versions recorded: of one curve with today's where they mean the same."""

from pathlib import Path
from typing import Any

import pytest
from made_sweeps import LMBDAS, evaluate, point
from run_folders import write_run

from analysis.curves import load_curves
from lic_exp.config.stored import todays_keys

EVALUATION = {"enabled": True, "data": None, "limit": None}
TODAY: dict[str, Any] = {
    "schema_version": 2,
    "init_from": None,
    "variant": None,
    "trainer": {"max_steps": 10, "eval_weights": "raw", "resume_elsewhere": False},
    "evaluation": EVALUATION | {"qualities": None, "metrics": []},
}
FORMER: list[dict[str, Any]] = [
    {"schema_version": 1, "trainer": {"max_steps": 10, "judged_weights": "raw"}},
    {"schema_version": 1, "trainer": {"max_steps": 10, "judged_weights": "raw"}, "init_from": None},
    TODAY | {"evaluation": EVALUATION | {"qualities": None}},
]


@pytest.mark.parametrize("former", FORMER, ids=["schema 1", "later schema 1", "before further metrics"])
def test_what_means_the_same_today_is_of_one_curve(tmp_path: Path, former: dict[str, Any]) -> None:
    for number, lmbda in enumerate(LMBDAS):
        evaluate(
            write_run(tmp_path / f"{number}0", criterion__lmbda=lmbda, **[former, TODAY][number % 2]), point(lmbda)
        )
    assert [len(curve) for curve in load_curves(tmp_path)] == [4]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"trainer": {"max_steps": 10, "judged_weights": "ema"}}, "trainer.eval_weights=ema"),
        ({"init_from": "00ff00ff00ff00ff"}, "init_from=00ff00ff00ff00ff"),
        ({"trainer": {"max_steps": 20, "judged_weights": "raw"}}, "trainer.max_steps=20"),
    ],
)
def test_what_differs_still_tells_them_apart(tmp_path: Path, change: dict[str, Any], name: str) -> None:
    for number, lmbda in enumerate(LMBDAS):
        config = FORMER[0] | change if number % 2 else TODAY
        evaluate(write_run(tmp_path / f"{number}0", criterion__lmbda=lmbda, **config), point(lmbda))
    curves = load_curves(tmp_path)
    assert [len(curve) for curve in curves] == [2, 2]
    assert curves[1].name == name


@pytest.mark.parametrize("trainer", [None, "fast", [1]])
def test_a_group_that_is_none_hides_no_run(tmp_path: Path, trainer: object) -> None:
    evaluate(write_run(tmp_path / "00", trainer=trainer), point(LMBDAS[0]))
    evaluate(write_run(tmp_path / "10", criterion__lmbda=LMBDAS[1]), point(LMBDAS[1]))
    assert sum(map(len, load_curves(tmp_path))) == 2


@pytest.mark.parametrize(
    ("group", "key", "meant"), [("trainer", "stale", "keep"), ("evaluation", "metrics", []), ("data", "store_mb", 0)]
)
@pytest.mark.parametrize("schema", [1, 2])
def test_a_key_that_a_config_is_too_old_for_has_its_neutral_value(
    schema: int, group: str, key: str, meant: object
) -> None:
    former = {"schema_version": schema, group: {"own": 1}}
    found = todays_keys(former)[group]
    assert (found["own"], found[key]) == (1, meant)
    assert former == {"schema_version": schema, group: {"own": 1}}
    assert todays_keys({group: {key: "given"}})[group][key] == "given"
