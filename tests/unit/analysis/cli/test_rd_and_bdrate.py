"""The commands `rd` and `bdrate`: output, files, exit codes, and life without torch."""

import csv
import json
from pathlib import Path

import pytest
from without_torch import blocked

from analysis.__main__ import main


def test_bdrate_prints_the_number_and_what_is_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bdrate", "kodak/vtm_compressai", "kodak/lalic"]) == 0

    (row,) = [line for line in capsys.readouterr().out.splitlines() if "│ kodak/lalic" in line]
    cells = [cell.strip() for cell in row.split("│")[1:-1]]
    assert cells[:4] == ["kodak/lalic", "-15.26", "-15.30", "-15.51"]
    assert cells[6:9] == ["1.00", "29.26 to 37.93", "8/6"]
    assert float(cells[4]) > 0
    assert float(cells[5]) < 0


def test_bdrate_by_the_other_methods_and_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bdrate", "kodak/vtm_compressai", "kodak/lalic", "--method", "cubic"]) == 0
    assert "BD-rate % cubic" in (output := capsys.readouterr().out)
    assert output.index("-15.51") < output.index("-15.26")
    arguments = ["bdrate", "kodak/vtm_compressai", "kodak/hpcm_large_msssim", "--metric", "ms-ssim-db"]
    assert main(arguments) == 0
    assert "methods-apart: pchip -56.93, akima -56.89, cubic -57.69" in capsys.readouterr().out


def test_bdrate_says_what_the_curves_say_of_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bdrate", "kodak/vtm_12.1_hifivric_issue", "kodak/lalic", "tecnick/dcae", "kodak/lalic_msssim"]) == 0

    output = " ".join(capsys.readouterr().out.split())
    assert output.count("kodak/lalic: wrong-anchor: kodak/vtm_12.1_hifivric_issue") == 1
    assert "tecnick/dcae: other-data-set: anchor kodak, test tecnick" in output
    assert "kodak/lalic_msssim: other-objective" in output


def test_a_row_without_a_number_says_why_and_the_others_stay(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    high = tmp_path / "high.json"
    high.write_text(json.dumps({"name": "high", "results": {"bpp": [5, 6, 7, 8], "psnr": [60, 61, 62, 63]}}))

    assert main(["bdrate", "kodak/vtm_compressai", str(high), "kodak/lalic", "--out", str(tmp_path / "b.json")]) == 2

    output, errors = capsys.readouterr()
    assert "-15.26" in output
    assert "high: no-overlap: quality 26.1448 to 46.5918 of the anchor and 60 to 63 of the test" in errors
    first, second = json.loads((tmp_path / "b.json").read_text())
    assert first["bd_rate_percent"] is None
    assert first["error"].startswith("no-overlap")
    assert first["rd_change_percent"] > 0
    assert second["bd_rate_percent"] == pytest.approx(-15.2643, abs=5e-5)


def test_bdrate_writes_csv(tmp_path: Path) -> None:
    assert main(["bdrate", "kodak/vtm_18.0", "kodak/hpcm_large", "--out", str(tmp_path / "b.csv")]) == 0

    with open(tmp_path / "b.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["bd_rate_pchip_percent"]) == pytest.approx(-19.3942, abs=5e-5)
    assert row["flags"] == "unequal-points: anchor 36, test 6; no method needs them equal"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bdrate", "kodak/vtm_compresai", "kodak/lalic"], "did you mean kodak/vtm_compressai"),
        (["bdrate", "kodak/vtm_18.0", "kodak/lalic", "--method", "pchi"], "did you mean pchip"),
        (
            ["bdrate", "kodak/vtm_18.0", "kodak/lalic", "--metric", "ms-ssim"],
            "kodak/vtm_18.0 has no ms-ssim; it has psnr",
        ),
        (["bdrate", "kodak/vtm_18.0", "kodak/lalic", "--out", "x.png"], "written as .csv or .json"),
        (["rd"], "rd needs a curve"),
        (["rd", "kodak/lalic", "kodak/dcae", "--out", "x.json"], "one per file"),
        (["rd", "kodak/lalic", "--metric", "lpips"], "no metric 'lpips'"),
    ],
)
def test_a_wrong_command_ends_with_2_and_says_what_is_right(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_usage_errors_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bdrate", "kodak/vtm_18.0"])

    assert ended.value.code == 2
    assert "TEST" in capsys.readouterr().err


def test_rd_prints_every_point(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rd", "kodak/vtm_compressai", "kodak/lalic"]) == 0

    output = capsys.readouterr().out
    assert "0.1148 │  29.256" in output
    assert "0.0482 │  26.145 │      8.558 │ 0.86061" in output


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg", ".csv"])
def test_rd_writes_what_the_suffix_says(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"curves{suffix}"

    assert main(["rd", "kodak/vtm_18.0", "kodak/lalic", "--out", str(path)]) == 0

    beginnings = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml", ".csv": b"curve,dataset,bpp"}
    assert path.read_bytes().startswith(beginnings[suffix])


def test_rd_lists_what_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rd", "--list"]) == 0

    assert "clic_pro_valid/vtm_17.0" in capsys.readouterr().out


def test_importing_analysis_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = "{'numpy', 'pandas', 'scipy', 'rich', 'matplotlib', 'torch'}"

    done = blocked(f"import analysis; dir(analysis); print(sorted({heavy} & set(sys.modules)))", tmp_path)

    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["bdrate", "kodak/vtm_18.0", "kodak/lalic", "--out", "b.json"],
        ["rd", "kodak/vtm_18.0", "kodak/lalic", "--out", "x.png"],
        ["rd", "--list"],
    ],
)
def test_the_commands_need_no_torch(arguments: list[str], tmp_path: Path) -> None:
    done = blocked(f"from analysis.__main__ import main; sys.exit(main({arguments!r}))", tmp_path)

    assert done.returncode == 0, done.stderr


def test_every_public_name_needs_no_torch(tmp_path: Path) -> None:
    code = "import analysis\nfor name in analysis.__all__: assert callable(getattr(analysis, name)), name"

    done = blocked(code, tmp_path)

    assert done.returncode == 0, done.stderr


def test_an_unknown_public_name_is_refused_with_those_there_are() -> None:
    import analysis

    with pytest.raises(AttributeError, match=r"no attribute 'bdrate'; it has .*bd_rate"):
        _ = analysis.bdrate
