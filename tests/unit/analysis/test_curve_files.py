"""Files that people have for curves: a number, or one line that says what is wrong."""

import gzip
import json
import os
from pathlib import Path

import pytest

from analysis.__main__ import main

RATES, LEVELS = [0.1, 0.2, 0.3, 0.4], [28, 30, 32, 34]


def results(bpp=RATES, psnr=LEVELS, **more):
    return json.dumps({"results": {"bpp": bpp, "psnr": psnr}} | more)


def with_text(text):
    """The same file, its last rate this text."""
    return results(bpp=[0.1, 0.2, 0.3, "LAST"]).replace('"LAST"', text)


WRONG = {
    "a number of 400 digits": (with_text("1" + "0" * 400), "has an entry of more than 300 digits"),
    "a number of 5000 digits": (with_text("9" * 5000), "is not JSON"),
    "a rate of 1e300": (with_text("1e300"), "bpp has the value 1e+300, which is none that was measured"),
    "a rate of 1e-320": (with_text("1e-320"), "which is none that was measured"),
    "a quality of 1e300": (results(psnr=[1e300, 2e300, 3e300, 4e300]), "psnr has the value 1e+300"),
    "a quality of -1e12": (results(psnr=[-1e12, 1, 2, 3]), "psnr has the value -1e+12"),
    "nested lists": (with_text("[[0.4]]"), "is not in CompressAI's results format"),
    "a text": (with_text('"much"'), "has an entry that is no number"),
    "true": (with_text("true"), "has an entry that is no number"),
    "nesting": ("[" * 100_000 + "]" * 100_000, "is nested too deep"),
    "nesting beside it": (results(more=[]).replace("[]", "[" * 100_000 + "]" * 100_000), "is nested too deep"),
    "a million points": (results(bpp=[0.1] * 10**6, psnr=[30] * 10**6), "has 1000000 points"),
    "no point": (results(bpp=[], psnr=[]), "has no points"),
    "lists of two lengths": (results(bpp=[0.1]), "lists of different lengths"),
    "nothing": ("", "curve.json is empty"),
    "no results": ("{}", "is not in CompressAI's results format"),
    "results that are a text": ('{"results": "bpp"}', "is not in CompressAI's results format"),
    "a key twice": ('{"results": {"bpp": [1], "psnr": [1], "bpp": [2]}}', "stands there twice"),
    "a key in two spellings": (results().replace('"psnr"', '"PSNR": [1, 2, 3, 4], "psnr"'), "PSNR"),
    "bytes": (bytes(range(256)), "is not JSON"),
    **{
        name: (results().encode(name), f"curve.json is a text in {name[:6]}: save it as UTF-8")
        for name in ("UTF-16", "UTF-16-LE", "UTF-16-BE", "UTF-32", "UTF-32-BE")
    },
    "blanks": (" \n\t", "holds nothing but blanks"),
    "zero bytes": (bytes(4096), "begins with nothing but zero bytes: it was not written to its end"),
    "a web page": ("\n<!DOCTYPE html>\n<title>404</title>", "curve.json is a web page: a download that was refused"),
    "a page with a mark": (b"\xef\xbb\xbf<html>", "curve.json is a web page"),
    "XML": ("<?xml version='1.0'?><Error/>", "is XML, such as a server's error message"),
    "an LFS pointer": ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a Git LFS pointer"),
    "gzip": (gzip.compress(results().encode()), "is compressed by gzip: unpack it first"),
    "a zip": (b"PK\3\4" + bytes(range(200)), "is an archive: unpack it first"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), "is a picture (PNG)"),
    "a table": ("bpp,psnr\n0.1,30\n", "is not JSON: Expecting value"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.json").write_text(results())
    return tmp_path


def refusal(capsys, *arguments):
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert len(line) < 300
    return line


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_holds_no_curve_is_refused_in_a_line(name, folder, capsys):
    content, message = WRONG[name]
    (folder / "curve.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    for arguments in (
        ["rd", "curve.json"],
        ["bdrate", "good.json", "curve.json"],
        ["bdrate", "curve.json", "good.json"],
    ):
        line = refusal(capsys, *arguments)
        assert line.startswith("curve.json")
        assert message in line


def test_a_file_that_is_too_large_is_not_read(folder, capsys):
    with open("curve.json", "wb") as file:
        file.truncate(2**36)
    assert "are the most that it could need" in refusal(capsys, "rd", "curve.json")


def test_a_pipe_holds_nobody_up(folder, capsys):
    os.mkfifo("curve.json")
    assert "neither a published curve nor a file or folder" in refusal(capsys, "rd", "curve.json")


@pytest.mark.parametrize("name", ["\u202e\ud800\x00\x1b[31m", "[" * 5000, 3, ["a"], "", "a\nb"])
@pytest.mark.parametrize("suffix", ["png", "csv", "json"])
def test_any_name_is_shown_and_drawn(name, suffix, folder, capsys):
    (folder / "curve.json").write_text(results(name=name))
    assert main(["rd", "curve.json", "--out", f"out.{suffix}"]) == 0
    said = capsys.readouterr()
    assert all(char.isprintable() or char == "\n" for char in said.out + said.err)
    assert (folder / f"out.{suffix}").stat().st_size


@pytest.mark.parametrize(
    "arguments",
    [
        ["rd", "good.json", "--out", "good.json/x.csv"],
        ["rd", "good.json", "--out", "good.json/x/y.png"],
        ["bdrate", "good.json", "good.json", "--out", "good.json/x.csv"],
        ["complexity", "dhic", "--out", "good.json/x.md"],
    ],
)
def test_a_file_that_cannot_be_written_is_named(arguments, folder, capsys):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("--out: the folder good.json")
    assert "cannot be made" in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "mine.yaml is empty"),
        (bytes(99), "mine.yaml begins with nothing but zero bytes"),
        (b"<html>table</html>", "mine.yaml is a web page"),
        ("table: 1".encode("utf-16"), "mine.yaml is a text in UTF-16: save it as UTF-8"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "mine.yaml is a Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "mine.yaml is a picture (PNG)"),
        (b"table: [", "mine.yaml cannot be read: while parsing"),
        (b"a table of mine", "mine.yaml holds no keys with values"),
        (b"3", "mine.yaml holds no keys with values"),
        (b"tables: 1", "mine.yaml holds no table"),
        (b"table: 1", "mine.yaml: table: "),
    ],
)
def test_a_file_that_holds_no_table_is_called_what_it_is(content, said, folder, capsys):
    (folder / "mine.yaml").write_bytes(content)
    assert refusal(capsys, "ablation", "mine.yaml").startswith(said)


@pytest.mark.parametrize(
    ("rates", "flagged"), [((0.1, 0.4), False), ((0.1, 24.0), False), ((100.0, 800.0), True), ((3.0, 30.0), True)]
)
def test_rates_that_no_pixel_has_are_named(
    tmp_path: Path, rates: tuple[float, float], flagged: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kilobits.json"
    file.write_text(json.dumps({"name": "kilobits", "results": {"bitrate": rates, "psnr": [30.0, 34.0]}}))
    for command in ("rd", "bdrate"):
        assert main([command, "kodak/vtm_18.0", str(file)]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert (f"its rates go up to {rates[1]:g}, and a pixel of 8-bit RGB has 24 bits" in shown) == flagged
        assert ("not-per-pixel" in shown) == flagged
