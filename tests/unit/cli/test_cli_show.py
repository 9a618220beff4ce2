"""`show`."""

import json
import re

from saying import said

from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.tracking.run_folder import encode_metrics


def test_show_tells_the_whole_story(make_run, capsys):
    folder = make_run(
        "aaaa", "failed", reason="RuntimeError: it broke\nin two lines", device="cpu", name="label", parent="cccc"
    )
    make_run("bbbb", parent="aaaa")
    (folder / "metrics.jsonl").write_text(
        encode_metrics({"step": 100, "epoch": 1, "time": 1.0, "train/loss": 2.5, "val/rd_loss": 3.5})
        + encode_metrics({"step": 200, "epoch": 2, "time": 2.0, "train/loss": 1.5})
    )
    (folder / "run.log").write_text("".join(f"line {number}\n" for number in range(40)))
    (folder / "eval").mkdir()
    evaluation = {"mean": {"bpp": 0.5, "ms_ssim": None}, "exact": False, "mismatches": ["a"]}
    (folder / "eval" / "evaluation.json").write_text(json.dumps(evaluation))
    environment = {"git_commit": "deadbeef", "git_dirty": True, "packages": {"torch": "2.9"}, "overrides": ["seed=0"]}
    (folder / "environment.json").write_text(json.dumps(environment))
    out = said(capsys, "show", "aaaa")
    told = {key: text.strip() for key, text in re.findall(r"^(\S+(?: \S+)*)  +(.+)$", out, flags=re.MULTILINE)}
    assert told["state"] == "failed"
    assert told["reason"] == "RuntimeError: it broke"
    assert "in two lines" in out
    assert told["step"] == "200 of 500"
    assert told["extends"] == "cccc"
    assert told["extended by"] == "bbbb (done, step 200 of 500)"
    assert told["train/loss"] == "1.5  (step 200)"
    assert told["val/rd_loss"] == "3.5  (step 100)"
    assert told["eval"] == "bpp 0.5  decoding DIFFERS on 1 images"
    assert told["checkpoints/best.pt"] == "1.0 kB"
    assert told["git commit"] == "deadbeef, with uncommitted changes: git.diff"
    assert told["torch"] == "2.9"
    assert "line 39" in out
    assert "line 20" not in out


def test_show_says_of_results_that_their_images_changed(make_run, capsys):
    folder = make_run("aaaa")
    (folder / "eval").mkdir(exist_ok=True)
    evaluation = {"mean": {"bpp": 0.5}, "exact": True, "mismatches": [], "images_changed": ["a.png changed"]}
    (folder / "eval" / "evaluation.json").write_text(json.dumps(evaluation))
    assert "bpp 0.5  decoding exact  CHANGED meanwhile: 1 images" in " ".join(said(capsys, "show", "aaaa").split("\n"))


def test_show_names_only_the_keys_that_differ(make_run, capsys):
    make_run("aaaa")
    out = said(capsys, "show", "aaaa").split("differs from the defaults\n")[1].split("\n\n")[0]
    assert "optimizer.lr " in out
    assert "0.0003  (default: 0.002)" in out
    assert "spectral_reg.tau_init " in out
    assert not re.search(r"^(seed|optimizer\.aux_lr|data\.\w+) ", out, flags=re.MULTILINE)


def test_show_of_a_run_whose_files_are_damaged(make_run, capsys):
    folder = make_run("aaaa")
    for name in ("status.json", "environment.json", "metrics.jsonl"):
        (folder / name).write_text("{\n")
    out = said(capsys, "show", "aaaa")
    assert "unreadable" in out
    assert out.count("cannot be read") == 2
    assert "metrics.jsonl: 1 damaged line is passed over: line 1 (no JSON: " in out
    (folder / "config.yaml").write_text("a: [")
    assert main(["show", "aaaa"]) == exit_codes.CONFIG


def test_a_run_is_shown_from_inside_its_folder(make_run, capsys, monkeypatch):
    monkeypatch.chdir(make_run("aaaa"))
    assert said(capsys, "show", ".").startswith("run aaaa in ")
