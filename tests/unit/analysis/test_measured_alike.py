"""Curves that measure different things: never joined, and never compared without its being said by name."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_sweeps import LMBDAS, PHOTOS, evaluate, point, write_sweep
from run_folders import write_run

from analysis import load_curve, load_curves
from analysis.__main__ import main
from analysis.bd_comparison import compare_curves
from analysis.curve_files import Curve, join
from analysis.errors import AnalysisError
from analysis.measured_alike import images_of, unlike
from analysis.published import path_of
from analysis.unlike_runs import unlike_runs
from lic_exp.image_identity import Pictured

OTHERS = (Pictured("x.png", 64, 96, "cccc"), Pictured("y.png", 64, 96, "dddd"))
CROPPED = (Pictured("a.png", 64, 64, "a1a1"), Pictured("b.png", 64, 64, "b1b1"))
RETOUCHED = (PHOTOS[0], Pictured("b.png", 64, 96, "b2b2"))

TRAPS: list[tuple[str, dict[str, Any]]] = [
    ("other-data-set", {"images": OTHERS}),
    ("other-data-set", {"images": RETOUCHED}),
    ("fewer-images", {"images": PHOTOS[:1]}),
    ("fewer-images", {"images": (*PHOTOS, *OTHERS)}),
    ("other-crop", {"images": CROPPED}),
    ("other-crop", {"images": CROPPED[:1]}),
    ("other-colours", {"psnr": "Y, dB"}),
    ("other-objective", {"optimized_for": "ms-ssim"}),
    ("other-objective", {"optimized_for": "own.lpips"}),
    ("other-weights", {"weights": "ema"}),
    ("other-rate", {"rate": "estimated bits"}),
    ("other-container", {"container": "in"}),
    ("other-averaging", {"averaging": "PSNR of the mean MSE"}),
    ("other-averaging", {"averaging": "BD-rate of every image, then their mean"}),
    ("other-rounding", {"rounding": "none"}),
    ("other-pixels", {"pixels": "padded"}),
    ("other-ms-ssim", {"ms-ssim": "of Y"}),
]


@pytest.fixture
def own(tmp_path: Path) -> list[Path]:
    """Four rates of one arm."""
    runs = [write_run(tmp_path / f"{i}0", criterion__lmbda=lmbda) for i, lmbda in enumerate(LMBDAS)]
    for run, lmbda in zip(runs, LMBDAS, strict=True):
        evaluate(run, point(lmbda))
    return runs


def elsewhere(tmp_path: Path, **said: Any) -> str:
    """The same arm, evaluated otherwise: its folder."""
    for i, lmbda in enumerate(LMBDAS):
        evaluate(write_run(tmp_path / "others" / f"{i}1", criterion__lmbda=lmbda), point(lmbda, 0.1), **said)
    return str(tmp_path / "others")


@pytest.mark.parametrize(("name", "said"), TRAPS)
def test_a_comparison_says_so_by_name(own: list[Path], tmp_path: Path, name: str, said: dict[str, Any]) -> None:
    anchor, test = load_curve(own), load_curve(elsewhere(tmp_path, **said))
    metric = "ms-ssim" if name == "other-ms-ssim" else "psnr"
    found = [one.name for one in unlike(anchor, test, metric)]
    assert found == [name]
    assert [one.name for one in unlike(test, anchor, metric)] == [name]
    if metric == "psnr":
        assert name in [flag.split(":")[0] for flag in compare_curves(anchor, test).flags]
    assert not list(unlike(anchor, anchor))


@pytest.mark.parametrize(("name", "said"), TRAPS)
def test_they_are_never_joined(own: list[Path], name: str, said: dict[str, Any]) -> None:
    evaluate(own[2], point(LMBDAS[2]), **said)
    with pytest.raises(AnalysisError, match=f"are not of one curve: {name}: "):
        load_curve(own)


@pytest.mark.parametrize(("name", "said"), TRAPS)
def test_seeds_of_them_have_no_mean(tmp_path: Path, name: str, said: dict[str, Any]) -> None:
    signatures = write_sweep(tmp_path, seeds=(0, 1))
    for signature in signatures[1::2]:
        run = tmp_path / signature
        results = json.loads((run / "eval/rd_point.json").read_text())["results"]
        evaluate(run, results, **said)
    with pytest.raises(AnalysisError, match=f"have no mean: {name}: "):
        load_curve("spectral_reg=intra", runs=tmp_path)


@pytest.mark.parametrize("command", ["bdrate", "rd"])
def test_the_commands_print_it(
    own: list[Path], tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    others = elsewhere(tmp_path, images=CROPPED, container="in")
    assert main([command, ",".join(map(str, own)), others]) == 0
    shown = capsys.readouterr().out
    assert "other-crop: anchor holiday (2 images, 96 x 64), test holiday (2 images, 64 x 64)" in shown
    assert "other-container: whether the rate holds" in shown


def test_a_run_on_photos_against_a_curve_on_kodak(own: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bdrate", "kodak/vtm_18.0", ",".join(map(str, own))]) == 0
    assert (
        "other-data-set: anchor kodak (24 images, 768 x 512 and 512 x 768), test holiday (2" in capsys.readouterr().out
    )


def kodak(count: int = 24) -> list[Pictured]:
    images = images_of(load_curve("kodak/vtm_18.0"))
    wide = [name for name in images.pixels if name not in {f"kodim{i:02d}.png" for i in (4, 9, 10, 17, 18, 19)}]
    sides = {name: (512, 768) if name in wide else (768, 512) for name in images.pixels}
    return [Pictured(name, *sides[name], digest) for name, digest in images.pixels.items()][:count]


def test_kodak_is_known_by_its_pixels_whatever_it_is_called(own: list[Path], tmp_path: Path) -> None:
    anchor = load_curve("kodak/vtm_18.0")
    renamed = [Pictured(f"{i}.webp", *one[1:]) for i, one in enumerate(kodak())]
    test = load_curve(elsewhere(tmp_path, images=renamed, data="test_images"))
    assert not list(unlike(anchor, test, "psnr"))
    assert images_of(test).name == "kodak"


@pytest.mark.parametrize(
    ("images", "name"),
    [
        (kodak(3), "fewer-images"),
        ([Pictured(one.name, 500, 500, one.pixels[::-1]) for one in kodak()], "other-crop"),
        ([Pictured(one.name, one.height, one.width, one.pixels[::-1]) for one in kodak()], "other-data-set"),
    ],
)
def test_what_is_not_kodak_is_told(tmp_path: Path, images: list[Pictured], name: str) -> None:
    test = load_curve(elsewhere(tmp_path, images=images, data="kodak"))
    assert [one.name for one in unlike(load_curve("kodak/vtm_18.0"), test, "psnr")] == [name]


@pytest.mark.parametrize(
    ("anchor", "count", "side"),
    [("clic2022_test/vtm_18.0", 1, 64), ("clic_pro_valid/vtm_17.0", 41, 64), ("tecnick/vtm_18.0", 100, 1200)],
)
@pytest.mark.parametrize("recorded", [False, True])
def test_a_folder_called_like_a_published_set_is_not_taken_to_be_it(
    tmp_path: Path, anchor: str, count: int, side: int, recorded: bool
) -> None:
    images = [Pictured(f"{i}.png", side, side, f"d{i}" if recorded else "") for i in range(count)]
    test = load_curve(elsewhere(tmp_path, images=images, data=anchor.partition("/")[0]))
    assert [one.name for one in unlike(load_curve(anchor), test, "psnr")] == ["unknown-images"]
    assert [one.name for one in unlike(test, load_curve(anchor), "psnr")] == ["unknown-images"]


@pytest.mark.parametrize("data", ["kodak", "tecnick", "clic_pro_valid", "clic2022_test"])
def test_published_curves_of_one_set_are_of_the_same_images(data: str) -> None:
    first, second = (
        load_curve(f"{data}/{name}")
        for name in sorted(one.stem for one in path_of(f"{data}/vtm_18.0").parent.glob("*.json"))[:2]
    )
    assert not {"unknown-images", "other-data-set"} & {one.name for one in unlike(first, second, "psnr")}


@pytest.mark.parametrize("key", ["rate", "container", "pixels", "rounding"])
def test_a_convention_that_one_curve_alone_states_is_passed_over(key: str) -> None:
    silent, stated = file("a", dataset="m"), file("b", dataset="m", conventions={key: "some"})
    assert not list(unlike(silent, stated, "psnr"))
    assert not list(unlike(stated, silent, "psnr"))


@pytest.mark.parametrize(
    ("anchor", "name"),
    [
        ("kodak/vtm_18.0", "other-data-set"),
        ("tecnick/vtm_18.0", "other-data-set"),
        ("clic_pro_valid/vtm_17.0", "other-data-set"),
        ("clic2022_test/vtm_18.0", "unknown-images"),
    ],
)
def test_an_evaluation_of_a_former_version_says_what_its_table_says(tmp_path: Path, anchor: str, name: str) -> None:
    test = load_curve(elsewhere(tmp_path, images=None))
    assert str(images_of(test)) == "images without a name (2 images, 96 x 64)"
    assert test.about["optimized_for"] == "mse"
    assert [one.name for one in unlike(load_curve(anchor), test, "psnr")] == [name]


def test_whether_former_evaluations_are_of_the_same_images_is_unknown(own: list[Path], tmp_path: Path) -> None:
    test = load_curve(elsewhere(tmp_path, images=None))
    (found,) = unlike(load_curve(own), test, "psnr")
    assert found.name == "unknown-images"
    evaluate(own[1], point(LMBDAS[1]), images=None)
    assert [note.split(":")[0] for note in load_curve(own).notes] == ["unknown-images"]


def test_seeds_of_former_evaluations_have_a_mean_and_say_that_it_is_unknown(tmp_path: Path) -> None:
    for signature in write_sweep(tmp_path, seeds=(0, 1, 2)):
        results = json.loads((tmp_path / signature / "eval/rd_point.json").read_text())["results"]
        evaluate(tmp_path / signature, results, images=None)
    for curve in load_curves("grid", runs=tmp_path):
        assert len(curve.by_seed) == 3
        assert [note.split(":")[0] for note in curve.notes] == ["unknown-images"]


def file(name: str, **said: Any) -> Curve:
    return Curve(name, {"bpp": (0.1, 0.3), "psnr": (30.0, 33.0), "ms-ssim": (0.9, 0.95)}, "", said)


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ({"dataset": "mine"}, {"dataset": "mine"}, []),
        ({"dataset": "mine"}, {"dataset": "yours"}, ["other-data-set"]),
        ({"dataset": "kodak"}, {"dataset": "Kodak"}, []),
        ({"dataset": "kodak"}, {}, ["unknown-images"]),
        ({}, {}, ["unknown-images"]),
        ({"images": {"number": 3}}, {"images": {"number": 4}}, ["other-data-set"]),
        ({"images": "24"}, {"images": [1]}, ["unknown-images"]),
        ({"images": {"number": "3", "sizes": 4, "pixels": []}}, {"dataset": "kodak"}, ["unknown-images"]),
        ({"dataset": "m", "conventions": "RGB"}, {"dataset": "m", "conventions": {"psnr": "Y"}}, []),
        (
            {"dataset": "m", "conventions": {"rate": "not stated"}},
            {"dataset": "m", "conventions": {"rate": "real"}},
            [],
        ),
    ],
)
def test_what_files_say_of_themselves(ours: dict[str, Any], theirs: dict[str, Any], found: list[str]) -> None:
    assert [one.name for one in unlike(file("a", **ours), file("b", **theirs), "psnr")] == found


def test_points_of_files_that_say_nothing_are_joined_as_ever() -> None:
    assert join([file("a"), file("b")]).notes == []
    assert join([file("a", dataset="m"), file("b")]).notes == ["unknown-images: b does not say of which images it is"]


def test_unknown_images_do_not_hide_that_two_others_differ() -> None:
    with pytest.raises(AnalysisError, match="b and c are not of one curve: other-data-set"):
        join([file("a"), file("b", dataset="mine"), file("c", dataset="yours")])


def test_a_quality_that_not_all_have_is_left_out_and_said() -> None:
    fewer = Curve("b", {"bpp": (0.2,), "psnr": (32.0,)})
    assert join([file("a"), fewer]).notes == ["left-out: ms-ssim-db, ms-ssim, which not all of its points have"]


@pytest.mark.parametrize(
    ("about", "note"),
    [
        ({"exact": False, "mismatches": ["a.png"]}, "not-exact: 20: on 1 images decoder and encoder disagree"),
        ({"images_changed": ["a.png"]}, "images-changed: 20: 1 images changed while they were evaluated"),
    ],
)
def test_points_that_are_doubtful_by_themselves(own: list[Path], about: dict[str, Any], note: str) -> None:
    evaluate(own[2], point(LMBDAS[2]), about=about)
    curve = load_curve(own)
    assert curve.notes == [note]
    assert note in str(compare_curves(curve, load_curve("kodak/vtm_18.0")).flags)


def test_decibels_of_means_are_not_means_of_decibels() -> None:
    means = file("a", dataset="m")
    decibels = Curve("b", {"bpp": (0.1, 0.3), "ms-ssim-db": (10.0, 13.0)}, "", {"dataset": "m"})
    assert [one.name for one in unlike(means, decibels, "ms-ssim-db")] == ["other-averaging"]


def status(run: Path, **values: Any) -> None:
    file = run / "status.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("trap", ["chosen-on-these", "other-length", "other-seeds"])
def test_what_two_curves_of_runs_were_made_with(own: list[Path], tmp_path: Path, trap: str) -> None:
    others = elsewhere(tmp_path)
    for run in Path(others).iterdir():
        if trap == "other-length":
            status(run, step=500)
        elif trap == "other-seeds":
            (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("seed: 0", "seed: 1"))
        else:
            header, *rows = (run / "eval/images.csv").read_text().splitlines()
            rows = [f"{row},{row.startswith('a')}" for row in rows]
            (run / "eval/images.csv").write_text("\n".join([f"{header},validates", *rows]) + "\n")
    for run in own:
        status(run, step=400)
    for run in Path(others).iterdir() if trap != "other-length" else ():
        status(run, step=400)
    anchor, test = load_curve(own), load_curve(others)
    assert [found.name for found in unlike_runs(anchor, test)] == [trap]
    assert trap in str(compare_curves(anchor, test).flags)
    assert not list(unlike_runs(test, test))
    published = load_curve("kodak/vtm_18.0")
    assert [found.name for found in unlike_runs(published, test)] == ([trap] if trap == "chosen-on-these" else [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"bpp": 0.8}, "bpp at"),
        ({"psnr": 1.05}, "dB, and images.csv beside it"),
        ({"encoding_time": 3.0}, None),
    ],
)
def test_points_that_are_not_the_means_of_their_images(own: list[Path], change: dict[str, float], said: str) -> None:
    file = own[1] / "eval/rd_point.json"
    content = json.loads(file.read_text())
    content["results"] |= {
        key: [by * value for value in content["results"].get(key, [1])] for key, by in change.items()
    }
    file.write_text(json.dumps(content))
    notes = [
        note for note in load_curve(own).notes if note.startswith(f"not-its-images: {own[1].name}: rd_point.json has")
    ]
    assert len(notes) == bool(said)
    assert all(said in note for note in notes)


@pytest.mark.parametrize("points", [1, 3])
def test_points_that_somebody_took_out_or_put_in(own: list[Path], points: int) -> None:
    file = own[1] / "eval/rd_point.json"
    header, *rows = (own[1] / "eval/images.csv").read_text().splitlines()
    rows = [f"{row},{rate}" for rate in (0, 1) for row in rows]
    (own[1] / "eval/images.csv").write_text("\n".join([f"{header},rate", *rows]) + "\n")
    content = json.loads(file.read_text())
    content["results"] = {
        key: [value[0] + 0.01 * i for i in range(points)] for key, value in content["results"].items()
    }
    file.write_text(json.dumps(content))
    said = f"not-its-images: {own[1].name}: rd_point.json has {points} points, and images.csv beside it 2"
    assert said in load_curve(own).notes


@pytest.mark.parametrize("trained", [0, 1, 2])
def test_a_curve_on_photos_that_trained_it_says_so(own: list[Path], trained: int) -> None:
    for run in own:
        header, *rows = (run / "eval/images.csv").read_text().splitlines()
        rows = [f"{row},{place < trained}" for place, row in enumerate(rows)]
        (run / "eval/images.csv").write_text("\n".join([f"{header},trains", *rows]) + "\n")
    notes = [note for note in load_curve(own).notes if note.startswith("trained-on-these: ")]
    assert len(notes) == (len(own) if trained else 0)
    assert all(
        note.endswith(f": it was trained on {trained} of the 2 images that it is evaluated on") for note in notes
    )


@pytest.mark.parametrize(("version", "said"), [(2, ["former-weights"]), (1, [])])
def test_an_evaluation_of_weights_that_are_gone(own: list[Path], version: int, said: list[str]) -> None:
    for run in own:
        status(run, schema_version=version)
    file = own[1] / "eval/evaluation.json"
    file.write_text(
        json.dumps({key: value for key, value in json.loads(file.read_text()).items() if key != "evaluation"})
    )
    assert [note.split(":")[0] for note in load_curve(own).notes] == said


def test_a_thousand_points_of_one_kind_are_joined_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("analysis.curve_files.unlike", lambda *both: asked.append(both) or ())
    join([file(str(i), dataset="mine") for i in range(1000)])
    assert not asked
    join([file("a", dataset="mine"), file("b", dataset="yours")] * 500)
    assert len(asked) == 1


def test_what_a_file_calls_things_reaches_no_terminal_as_it_is() -> None:
    said = {"dataset": "\x1b[31m" + "m" * 500, "conventions": {"rate": "real\nbits"}}
    texts = [str(found) for found in unlike(file("a", **said), file("b", dataset="n", conventions={"rate": "x"}))]
    assert len(texts) == 2
    assert all(text.isprintable() and len(text) < 400 for text in texts)
