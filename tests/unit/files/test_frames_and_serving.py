"""Requests and answers between processes: whole frames or an error, and files that are those of `encode_image`."""

import io

import numpy as np
import pytest
from file_codecs import codec_of, pixels

from lic_exp.files.coding import decode_image, encode_image
from lic_exp.files.frames import Frame, read_frame, write_frame
from lic_exp.files.parsing import parse
from lic_exp.files.serving import serve

NAME = "dhic_tiny"


def piped(*frames: Frame) -> io.BytesIO:
    stream = io.BytesIO()
    for frame in frames:
        write_frame(stream, frame)
    stream.seek(0)
    return stream


def answers(*asked: Frame) -> list[Frame]:
    taken = io.BytesIO()
    serve(codec_of(NAME), piped(*asked), taken)
    taken.seek(0)
    return list(iter(lambda: read_frame(taken), None))


def encoding(picture: np.ndarray, quality: float = 20) -> Frame:
    height, width = picture.shape[:2]
    return Frame({"do": "encode", "height": height, "width": width, "quality": quality}, picture.tobytes())


def test_frames_come_one_after_another_until_the_pipe_is_closed() -> None:
    given = [Frame({"do": "encode", "height": 3}, bytes(range(256))), Frame({}), Frame({"error": "naïve\n"}, b"x")]

    stream = piped(*given)

    assert [read_frame(stream) for _ in given] == given
    assert read_frame(stream) is None


@pytest.mark.parametrize("left", [1, 11, 12, 20, 30])
def test_a_frame_that_is_cut_is_an_error(left: int) -> None:
    whole = piped(Frame({"do": "decode"}, b"0123456789")).read()
    assert left < len(whole)

    with pytest.raises(EOFError, match=r"the pipe ended after \d+ of \d+ bytes"):
        read_frame(io.BytesIO(whole[:left]))


def test_files_are_those_of_encode_image_and_pictures_those_of_decode_image() -> None:
    picture, codec = pixels(40, 53), codec_of(NAME)

    (made,) = answers(encoding(picture))
    (shown,) = answers(Frame({"do": "decode"}, made.body))

    assert made.body == encode_image(picture, codec, quality=20)
    assert made.words == {"string_bytes": parse(made.body).string_bytes}
    assert shown.words == {"height": 40, "width": 53}
    assert shown.body == decode_image(made.body, codec, form="array").tobytes()


def test_what_cannot_be_done_is_an_answer_and_the_next_is_done() -> None:
    picture = pixels(20, 20)

    wrong, damaged, cut, right = answers(
        encoding(picture, quality=1e6),
        Frame({"do": "decode"}, b"no file"),
        encoding(picture)._replace(body=b"xyz"),
        encoding(picture),
    )

    assert "quality" in wrong.words["error"]
    assert damaged.words["error"].startswith("it is no .lic file")
    assert "reshape" in cut.words["error"]
    assert "error" not in right.words
