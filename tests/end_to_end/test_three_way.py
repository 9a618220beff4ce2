"""Validation chooses the weights; images of a third set say what they came to."""

import pytest
from PIL import Image
from toy_attempts import go, only_run

from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.data.images import list_images
from lic_exp.data.sources import Bundled, BundledThreeWay
from lic_exp.runs import attempt_record
from lic_exp.runs import evaluate as evaluating
from lic_exp.runs.run import Run

SMALL = ("data.crop_size=64", "data.batch_size=2", "data.steps_per_epoch=3", "data.val_crop_size=64")
EVALUATED = (
    "data=bundled_three_way",
    *SMALL,
    "data.val_limit=null",
    "evaluation.enabled=true",
    "evaluation.pictures=0",
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch, toy_folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(attempt_record, "record_environment", lambda *arguments: {})  # half of the time it takes


def names(images):
    return [image.name for image in images]


def validating(run):
    """{image: whether it validates} of the run's own evaluation."""
    rows = Run(run.root).evaluation
    return dict(zip(rows["image"], rows["validates"], strict=True))


def test_the_third_set_is_evaluated_and_the_second_is_so_when_asked_for(tmp_path, capfd):
    assert go(*EVALUATED) == exit_codes.DONE
    run = only_run()
    assert validating(run) == dict.fromkeys(names(BundledThreeWay().test()), False)
    assert go(*EVALUATED) == exit_codes.DONE
    assert "is done already" in capfd.readouterr().err

    assert go(*EVALUATED, "data=bundled") == exit_codes.DONE
    assert "is trained already; it is evaluated as asked for now" in capfd.readouterr().err
    (other,) = run.eval.glob("*/images.csv")
    assert [line.split(",")[0] for line in other.read_text().splitlines()[1:]] == names(Bundled().val())
    assert all(line.endswith(",True") for line in other.read_text().splitlines()[1:])

    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name, image in (("seen.jpg", Bundled().val()[0]), ("unseen.png", BundledThreeWay().test()[0])):
        Image.fromarray(image.load()).save(mixed / name)
    capfd.readouterr()
    assert go(*EVALUATED, f"evaluation.data={mixed}") == exit_codes.DONE
    found = [file for file in run.eval.glob("*/images.csv") if "seen.jpg" in file.read_text()]
    lines = [line for file in found for line in file.read_text().splitlines()[1:]]
    assert [line.endswith(",True") for line in lines] == [True, False]


@pytest.mark.parametrize("after_training", [True, False])
def test_a_photo_of_the_third_set_that_changes_is_noticed(tmp_path, monkeypatch, after_training, capfd):
    place = tmp_path / "held"
    place.mkdir()
    for index, image in enumerate(BundledThreeWay().test()[:2]):
        Image.fromarray(image.load()).resize((80, 80)).save(place / f"{index}.png")
    monkeypatch.setattr(BundledThreeWay, "test", lambda source: list_images(place))
    if after_training:
        assert go(*EVALUATED, "evaluation.enabled=false") == exit_codes.DONE
    evaluate = evaluating.evaluate

    def then_change(*arguments, **options):
        found = evaluate(*arguments, **options)
        Image.new("RGB", (80, 80), (9, 80, 200)).save(place / "1.png")
        return found

    monkeypatch.setattr(evaluating, "evaluate", then_change)
    assert go(*EVALUATED) == exit_codes.FAILED
    assert f"{place}/1.png changed" in capfd.readouterr().err


def test_a_third_set_too_small_for_the_crop_is_refused_before_anything_trains(capfd):
    given = [text for text in EVALUATED if not text.startswith("data.val_crop_size")]
    assert go(*given, "data.val_crop_size=320") == exit_codes.CONFIG
    assert "coins.png is 384 x 303 pixels, smaller than the 320 needed" in capfd.readouterr().err


def test_a_photo_of_the_third_set_that_trains_is_refused(monkeypatch, capfd):
    monkeypatch.setattr(BundledThreeWay, "test", lambda source: source.train()[0].images[:1])
    assert go(*EVALUATED) == exit_codes.CONFIG
    assert "training image chelsea.png is evaluation image chelsea.png" in capfd.readouterr().err


@pytest.mark.parametrize("preflight", ["fail", "off"])
def test_photos_that_trained_or_chose_the_weights_are_named(preflight, tmp_path, capfd):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    photos = {"seen.jpg": Bundled().val()[0], "unseen.png": BundledThreeWay().test()[0]}
    trained = Bundled().train()[0].images[0]
    for name, image in photos.items():
        Image.fromarray(image.load()).save(mixed / name)
    given = [*EVALUATED, f"evaluation.data={mixed}", f"data.preflight={preflight}"]
    assert go(*given) == exit_codes.DONE
    warned = (
        f"evaluation.data={mixed}: 1 of the 2 images validate too, and so choose the weights that they judge (seen.jpg)"
    )
    assert (warned in capfd.readouterr().err) is (preflight == "fail")

    Image.fromarray(trained.load()).save(mixed / "trained.png")
    run = only_run()
    assert main(["eval", run.root.name, "--data", str(mixed), "--out", str(tmp_path / "out")]) == exit_codes.DONE
    assert "1 of the 3 images are ones that the run was trained on" in capfd.readouterr().err
    header, *rows = (line.split(",") for line in (tmp_path / "out/images.csv").read_text().splitlines())
    told = {row[0]: (row[header.index("trains")], row[header.index("validates")]) for row in rows}
    assert told == {
        "seen.jpg": ("False", "True"),
        "trained.png": ("True", "False"),
        "unseen.png": ("False", "False"),
    }


def test_where_the_validation_images_are_gone_others_can_be_evaluated(tmp_path, monkeypatch):
    """On another machine, say: nobody knows then which of them validate, and no row claims it."""
    assert go(*EVALUATED) == exit_codes.DONE
    monkeypatch.setattr(Bundled, "VAL", (("scikit-image", "skimage", "data/no_such.png"),))
    Image.fromarray(BundledThreeWay().test()[0].load()).save(tmp_path / "one.png")
    assert main(["eval", only_run().signature, "--data", "one.png", "--out", "out"]) == exit_codes.DONE
    assert "validates" not in (tmp_path / "out/images.csv").read_text()
