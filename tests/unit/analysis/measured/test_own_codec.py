"""A codec of the user's own: two command lines in a file."""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from analysis.errors import AnalysisError
from analysis.measured.codec import AnchorError
from analysis.measured.own import own_codec
from lic_exp.picture_metrics import psnr

PROGRAM = """
import sys, zlib
from pathlib import Path

way, given, made, *quality = sys.argv[1:]
data = Path(given).read_bytes()
if way == "encode":
    Path(made).write_bytes(b"HEAD" + zlib.compress(data, int(quality[0])))
else:
    Path(made).write_bytes(zlib.decompress(data[4:]))
"""

PICTURE = np.random.default_rng(0).integers(0, 256, (21, 34, 3), dtype=np.uint8)


def describe(folder: Path, **changes: object) -> Path:
    """The file of a codec that packs what it gets; `changes` of its keys, None leaves one out."""
    program = folder / "packer.py"
    if not program.exists():
        program.write_text(PROGRAM)
    keys = {
        "name": "packer-1.0",
        "input": "yuv444p10le",
        "qualities": [1, 9],
        "encode": f"'{sys.executable}' '{program}' encode {{input}} {{stream}} {{quality}}",
        "decode": f"'{sys.executable}' '{program}' decode {{stream}} {{output}}",
        "container": 4,
    } | changes
    file = folder / "packer.yaml"
    file.write_text(yaml.safe_dump({key: value for key, value in keys.items() if value is not None}))
    return file


@pytest.mark.parametrize(("form", "least"), [("yuv444p10le", np.inf), ("yuv444p", 50), ("png", np.inf), (None, np.inf)])
def test_a_program_codes_files_of_the_form_that_it_asks_for(tmp_path: Path, form: str | None, least: float) -> None:
    codec = own_codec(describe(tmp_path, input=form))

    found = codec.code(PICTURE, 9)

    assert codec.missing() is None
    assert found.decoded.shape == PICTURE.shape
    assert psnr(PICTURE, found.decoded) >= least
    assert found.container == 4
    assert found.data.startswith(b"HEAD")
    if form and form.startswith("yuv"):
        import zlib

        samples = 3 * 21 * 34 * (2 if form == "yuv444p10le" else 1)
        assert len(zlib.decompress(found.data[4:])) == samples
    assert (codec.conversion.by == "us") == (form in ("yuv444p", "yuv444p10le"))


def test_its_programs_and_files_count_by_content_and_its_command_by_its_words(tmp_path: Path) -> None:
    codec = own_codec(describe(tmp_path))
    before = codec.version(), codec.command(1)
    assert before == (own_codec(describe(tmp_path)).version(), own_codec(describe(tmp_path)).command(1))
    assert "packer.py" in before[0]

    (tmp_path / "packer.py").write_text(PROGRAM + "# changed\n")

    assert own_codec(describe(tmp_path)).version() != before[0]
    assert own_codec(describe(tmp_path, input="png")).command(1) != before[1]
    assert codec.command(1) != codec.command(9)
    assert own_codec(describe(tmp_path, version="VTM-22.0")).version().startswith("VTM-22.0 (")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encode": None}, "encode: Field required"),
        ({"encode": "enc {input} {stream}"}, r"encode lacks \{quality\}"),
        ({"decode": "dec {stream}"}, r"decode lacks \{output\}"),
        ({"decode": "dec '{stream} {output}"}, "a command line that no shell would take"),
        ({"input": "yuv420p"}, "input: Input should be"),
        ({"qualities": []}, "qualities: List should have at least 1"),
        ({"qualities": [3, float("nan")]}, "qualities: one is no number"),
        ({"qualities": [float("inf")]}, "qualities: one is no number"),
        ({"qualities": [3, 7, 3]}, "qualities: one stands there twice"),
        ({"name": "a/b"}, "name: String should match"),
        ({"qualitys": [1]}, "qualitys: Extra inputs are not permitted"),
        ({"container": -1}, "container: Input should be greater"),
        ({"note": [1, 2]}, "packer.yaml cannot be read: note: Input should be a valid string"),
    ],
)
def test_a_wrong_file_is_refused_with_its_key(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(AnalysisError, match=message) as refused:
        own_codec(describe(tmp_path, **changes))
    assert "packer.yaml" in str(refused.value)


def test_bytes_of_a_container_are_part_of_the_command(tmp_path: Path) -> None:
    with_four, with_none = (own_codec(describe(tmp_path, container=count)).command(1) for count in (4, 0))

    assert with_four != with_none
    assert with_none == own_codec(describe(tmp_path, container=None)).command(1)


@pytest.mark.parametrize("word", ["{file}", "--config={file}", "-c:{file}", "--both=a,{file}"])
def test_a_file_counts_by_content_wherever_it_stands_in_a_word(tmp_path: Path, word: str) -> None:
    config = tmp_path / "enc.cfg"
    config.write_text("QP: 1")
    encode = f"'{sys.executable}' {word.format(file=config)} {{input}} {{stream}} {{quality}}"
    before = own_codec(describe(tmp_path, encode=encode)).version()

    config.write_text("QP: 9, another one")

    assert own_codec(describe(tmp_path, encode=encode)).version() != before


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"none\.yaml: there is no such file"):
        own_codec(tmp_path / "none.yaml")


def test_a_program_that_is_not_there_is_a_gap(tmp_path: Path) -> None:
    codec = own_codec(describe(tmp_path, decode="no_such_decoder -b {stream} -o {output}"))

    assert "decode: there is no program no_such_decoder" in str(codec.missing())


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("import sys; sys.exit('no licence')", "exit code 1: no licence"),
        ("", r"it ended well, but wrote no stream\.bin"),
        ("import sys, pathlib; pathlib.Path(sys.argv[2]).write_bytes(b'HEAD')", "exit code 1"),
    ],
)
def test_a_program_that_fails_says_why(tmp_path: Path, encoder: str, message: str) -> None:
    (tmp_path / "encoder.py").write_text(encoder)
    command = f"'{sys.executable}' '{tmp_path}/encoder.py' {{input}} {{stream}} {{quality}}"

    with pytest.raises(AnchorError, match=message):
        own_codec(describe(tmp_path, encode=command)).code(PICTURE, 1)


@pytest.mark.parametrize(("form", "message"), [("png", "is no picture"), ("yuv444p", "samples, not 2142")])
def test_a_decoder_that_writes_something_else_is_refused(tmp_path: Path, form: str, message: str) -> None:
    (tmp_path / "decoder.py").write_text("import sys, pathlib; pathlib.Path(sys.argv[2]).write_bytes(b'12345')")
    command = f"'{sys.executable}' '{tmp_path}/decoder.py' {{stream}} {{output}}"

    with pytest.raises(AnchorError, match=message):
        own_codec(describe(tmp_path, input=form, decode=command)).code(PICTURE, 1)
