"""A store lies where its folder is, whatever that is called; and `analysis` reads it by its address or its file."""

import math
import time

import pytest
from sqlalchemy.engine import make_url

from analysis.__main__ import main
from analysis.errors import AnalysisError
from analysis.runs import load_runs
from lic_exp.tracking.mlflow_projection import MlflowTracker
from lic_exp.tracking.mlflow_store import default_uri, sqlite_file, sqlite_uri
from lic_exp.tracking.run_folder import RunFolder, encode_metrics

NAMES = ("plain", "a b", "what?", "a?b=c&d", "50%", "50%41", "%3F", "#1", "é漢", "a;b=[c]{d}", "~", "+")


@pytest.mark.parametrize("name", NAMES)
def test_an_address_means_its_file(name, tmp_path):
    file = tmp_path / name / "mlflow.db"
    assert make_url(sqlite_uri(file)).database == str(file)
    assert sqlite_file(sqlite_uri(file)) == file


def test_plain_addresses_stay_as_they_were(tmp_path):
    assert sqlite_uri(tmp_path / "a b" / "mlflow.db") == f"sqlite:///{tmp_path}/a b/mlflow.db"
    assert sqlite_file("sqlite:///:memory:") is sqlite_file("http://server:5000") is None


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The folder of two runs that were sent to the store beside them: making one takes seconds."""
    folder = tmp_path_factory.mktemp("stores") / "which? 50%41 #1" / "runs"
    for signature, loss, known in (("aaaa", 1.5, {}), ("abbb", 1.25, {"interval_speeds_from": 1})):
        run = RunFolder(folder / signature)
        run.create()
        run.update_status(state="done", started=time.time(), attempt=1, **known)
        run.config.write_text(f"seed: 0\nname: {signature}\nmodel: {{_target_: null}}\n")
        points = ({"step": step, "epoch": 0, "time": 1.0 + step, "val/rd_loss": loss / step} for step in (1, 2))
        run.metrics_file.write_text("".join(map(encode_metrics, points)))
        (run.eval / "images.csv").write_text("image,bpp\na,0.5\n")
        MlflowTracker(run, None, uri=None, experiment="tests", flush_s=1.0, finish_timeout_s=60.0).sync()
    return folder


def test_the_store_is_beside_its_runs_and_nowhere_else(stored):
    assert {path.name for path in stored.iterdir()} == {"aaaa", "abbb", "mlflow.db", "mlflow.db.lock", "mlartifacts"}
    assert [path.name for path in stored.parents[1].iterdir()] == [stored.parent.name]
    assert len(list(stored.glob("mlartifacts/*/artifacts/eval/images.csv"))) == 2
    found = load_runs(stored / "mlflow.db")
    assert sorted(found.runs["signature"]) == ["aaaa", "abbb"]
    assert sorted(found.final()["val/rd_loss"]) == [0.625, 0.75]
    assert found.facts("abbb")["interval_speeds_from"] == 1
    assert math.isnan(found.facts("aaaa")["interval_speeds_from"])
    assert list(found.evaluation["bpp"]) == [0.5, 0.5]


def test_commands_read_it(stored, capsys):
    for place in (str(stored / "mlflow.db"), default_uri(RunFolder(stored / "aaaa"))):
        assert main(["compare", "ab", "aaaa", "--runs", place]) == 0
        said = capsys.readouterr().out
        assert said.index("abbb") < said.index("aaaa")
        assert "0.625" in said
        assert main(["speedup", "--baseline", "aaaa", "--test", "abbb", "-k", "1", "--runs", place]) == 0
        assert "speed-up, target" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("compare a", "a could be any of aaaa, abbb: give more digits"),
        ("compare zz", "there is no run zz in "),
        ("sweep", "an MLflow store has no sweeps; name the folder of runs"),
        ("ablation table2", "an MLflow store has no tables; name the folder of runs"),
        ("complexity zz", "an MLflow store has no complexities; name the folder of runs"),
    ],
)
def test_what_a_store_has_not(stored, line, said, capsys):
    assert main([*line.split(), "--runs", str(stored / "mlflow.db")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00torn"])
def test_a_file_that_is_no_store_is_left_alone(content, tmp_path):
    (tmp_path / "some.db").write_bytes(content)
    with pytest.raises(AnalysisError, match=r"some\.db is no MLflow store: "):
        load_runs(tmp_path / "some.db")
    assert (tmp_path / "some.db").read_bytes() == content


@pytest.mark.parametrize("place", ["nosuch://host/x", "sqlite:////no/where/at/all.db", "none.db"])
def test_a_store_that_is_not_there(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "aaaa", "--runs", place]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be read: " in line or "there is no MLflow store" in line
