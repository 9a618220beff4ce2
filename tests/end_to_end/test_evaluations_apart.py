"""Where evaluations go that are asked for beside a run's own: two of them never into one folder."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from commands import QUICK
from PIL import Image

import analysis
import lic_exp
from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.cli.launch import main as launch
from lic_exp.config.errors import ConfigError
from lic_exp.config.signing import asked_evaluation_name
from lic_exp.data.fingerprints import fingerprint
from lic_exp.data.images import list_images
from lic_exp.runs.evaluate import evaluate_run
from lic_exp.runs.run import Run
from lic_exp.spectral_reg.intra_scale import IntraScale


@pytest.fixture
def run(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    shutil.copytree(small_run, tmp_path / "runs" / small_run.name)
    monkeypatch.chdir(tmp_path)
    return Run(tmp_path / "runs" / small_run.name)


def images(folder: Path, *colours: str) -> Path:
    folder.mkdir(parents=True)
    for place, colour in enumerate(colours):
        Image.new("RGB", (64 + 8 * place, 48), colour).save(folder / f"{place}.png")
    return folder


def evaluated(run: Run, *arguments: str, capfd: pytest.CaptureFixture[str]) -> Path:
    """The folder that `eval` says its results are in."""
    assert main(["eval", run.signature, *arguments]) == exit_codes.DONE
    (line,) = (line for line in capfd.readouterr().out.splitlines() if line.startswith("results: "))
    return Path(line.removeprefix("results: "))


def test_two_folders_of_one_name_are_two_evaluations(run, tmp_path, capfd):
    first, second = (
        images(tmp_path / side / "kodak", *colours) for side, colours in (("s1", ["red"]), ("s2", ["blue", "green"]))
    )

    one, other = (evaluated(run, "--data", str(place), capfd=capfd) for place in (first, second))

    assert one != other
    assert {one.parent, other.parent} == {run.files.eval.relative_to(tmp_path)}
    assert {folder.name.rpartition("-")[0] for folder in (one, other)} == {"kodak"}
    for folder, place, sizes in ((one, first, {"64 x 48": 1}), (other, second, {"64 x 48": 1, "72 x 48": 1})):
        said = json.loads((folder / "evaluation.json").read_text())
        assert (said["data"], said["fingerprint"]) == (str(place), fingerprint(list_images(place)))
        assert (said["mean"]["images"], said["sizes"]) == (len(sizes), sizes)
    assert evaluated(run, "--data", "s1/../s1/kodak/", capfd=capfd) == one
    assert main(["show", run.signature]) == exit_codes.DONE
    shown = capfd.readouterr().out
    assert all(f"eval/{folder.name}" in shown for folder in (one, other))
    read = analysis.load_runs("runs", cache=False)
    assert {one.name, other.name} <= set(read.evaluation["set"])
    assert list(read.means(one.name[:-2])["images"]) == [1]
    with pytest.raises(ValueError, match="kodak could be any of kodak-"):
        read.means("kodak")


def test_what_is_another_evaluation_has_other_digits(run, tmp_path):
    config, folder = run.config, images(tmp_path / "some", "red")
    same = images(tmp_path / "elsewhere" / "others", "red")
    asked = [
        (None, [1.0], ()),
        (None, [2.0], ()),
        (None, None, [("bpp", 1.0)]),
        (None, None, [("psnr", 1.0)]),
        (str(folder), None, ()),
        (str(folder), [1.0], ()),
    ]
    assert len({asked_evaluation_name(config, *one) for one in asked}) == len(asked)
    assert asked_evaluation_name(config, None, [2, 1]) == asked_evaluation_name(config, None, [1.0, 2.0])
    assert asked_evaluation_name(config, str(folder), None) == asked_evaluation_name(config, str(same), None)


@pytest.mark.parametrize(
    ("name", "begins"),
    [("a b, c", "a_b_c-"), ("é" * 60, "é" * 20 + "-"), ("_._", "images-"), ("caf\udce9", "caf-")],
    ids=["spaces", "long", "nothing plain", "no UTF-8"],
)
def test_a_folder_of_any_name_gives_a_plain_one(run, tmp_path, name, begins, capfd):
    folder = images(tmp_path / "in" / name, "red")
    assert evaluated(run, "--data", str(folder), capfd=capfd).name.startswith(begins)


def test_of_an_unfinished_run_it_is_named_so(run, tmp_path, capfd):
    folder = images(tmp_path / "kodak", "red")
    done = evaluated(run, "--data", str(folder), capfd=capfd)
    run.files.update_status(state="preempted")
    assert evaluated(run, "--data", str(folder), capfd=capfd).name == f"so_far_{done.name}"


@pytest.mark.parametrize("blank", ["", " "])
def test_no_folder_is_not_the_runs_own_photos(run, blank):
    with pytest.raises(ConfigError, match="the folder of images is empty"):
        evaluate_run(run, data=blank)


def test_two_checkpoints_of_one_name_are_verified_apart(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    folder = images(tmp_path / "kodak", "red")
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        codec = lic_exp.create_model("factorized_tiny", seed=seed)
        torch.save(codec.state_dict(), tmp_path / str(seed) / "best.pth")
        arguments = ["--model", "factorized_tiny", "--data", str(folder), "--device", "cpu"]
        assert main(["verify", f"{seed}/best.pth", *arguments]) == exit_codes.DONE
    assert len(list(tmp_path.glob("verify/best-*/evaluation.json"))) == 2


def test_a_damaged_image_among_others_is_named_and_the_others_are_kept(run, tmp_path, capfd):
    folder = images(tmp_path / "kodak", "red", "green", "blue")
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])

    assert main(["eval", run.signature, "--data", str(folder)]) == exit_codes.CONFIG

    said = capfd.readouterr()
    assert "1 image could not be evaluated, and no mean is given of the others" in said.err
    assert "kodak/1.png" in said.err
    assert "Traceback" not in said.err + said.out
    (kept,) = run.files.eval.glob("kodak-*/images.partial.csv")
    assert [line.split(",")[0] for line in kept.read_text().splitlines()] == ["image", "0.png", "2.png"]
    assert [path.name for path in kept.parent.iterdir() if path.suffix != ".png"] == [kept.name]
    (folder / "1.png").write_bytes(whole)
    assert len(list(evaluated(run, "--data", str(folder), capfd=capfd).glob("images*.csv"))) == 1


@pytest.mark.parametrize("name", ["caf\udce9.png", "a" * 251 + ".png"], ids=["no UTF-8", "long"])
def test_a_training_ends_well_whatever_its_images_are_called(tmp_path, name, monkeypatch, capfd):
    """And although its regularizer's pictures cannot be drawn."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64), "red").save(images(tmp_path / "val", "blue") / name)
    images(tmp_path / "train", "green")

    def refuses(*arguments: object) -> None:
        raise OSError("no room for a picture")

    monkeypatch.setattr(IntraScale, "write_pictures", refuses)
    data = ["data=folder", "data.train=[train]", "data.val=[val]", "data.batch_size=1", "data.crop_size=32"]
    model = ["model=factorized_tiny", "model.N=4", "model.M=4", "spectral_reg=intra", "trainer.max_steps=1"]
    quick = [text for text in QUICK if not text.startswith(("data", "evaluation"))]
    assert launch([*quick, *data, *model, "data.num_workers=0", "evaluation.pictures=2"]) == exit_codes.DONE
    run = next(Run(path) for path in tmp_path.glob("runs/*/"))
    assert len(run.evaluation) == len(list(run.files.eval.glob("*.png"))) == 2
    assert "no pictures of the regularizer: OSError: no room for a picture" in run.files.log.read_text()


@pytest.mark.parametrize("other", ["images", "run", "unknown", "damaged", "its own"])
def test_a_folder_that_was_named_holds_one_evaluation(run, tmp_path, other, capfd):
    first = images(tmp_path / "kodak", "red")
    command = ["eval", run.signature, "--data", str(first), "--out", "results"]
    assert main(command) == exit_codes.DONE
    assert main(command) == exit_codes.DONE, "the same once more"
    before = {path: path.read_bytes() for path in Path("results").iterdir()}
    file = Path("results/evaluation.json")
    if other == "images":
        command[3] = str(images(tmp_path / "others", "blue"))
    elif other == "run":
        run.files.update_status(state="preempted")
    elif other == "its own":
        command[5], file = str(run.files.eval), run.files.eval / "evaluation.json"
        before = {path: path.read_bytes() for path in run.files.eval.iterdir() if path.is_file()}
    else:
        file.write_text("{" if other == "damaged" else json.dumps({"mean": {}}))
        before[file] = file.read_bytes()
    capfd.readouterr()
    assert main(command) == exit_codes.CONFIG
    assert f"--out={command[5]} holds " in (said := capfd.readouterr().err)
    assert "name another folder, or remove it" in said
    assert {path: path.read_bytes() for path in before} == before


def test_an_evaluation_says_which_images_it_is_of(run, tmp_path, capfd):
    folder = images(tmp_path / "kodak", "red", "blue")
    place = evaluated(run, "--data", str(folder), capfd=capfd)
    said = json.loads((place / "rd_point.json").read_text())
    assert (said["images"]["name"], said["images"]["number"]) == ("kodak", 2)
    assert said["images"]["sizes"] == {"64 x 48": 1, "72 x 48": 1}
    assert said["optimized_for"] == "mse"
    assert said["conventions"]["weights"] == "raw"
    own = json.loads((run.files.eval / "rd_point.json").read_text())
    assert own["images"]["name"] == "synthetic"
    assert own["images"]["fingerprint"] != said["images"]["fingerprint"]
