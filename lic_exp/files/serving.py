"""A codec that codes whatever comes through a pipe, one picture after another, so that it is loaded once for many."""

from typing import IO

import numpy as np
import torch

from lic_exp.files.coding import decode_image, encode_image
from lic_exp.files.frames import Frame, read_frame, write_frame
from lic_exp.files.parsing import parse
from lic_exp.models.base import Codec


def serve(codec: Codec, given: IO[bytes], taken: IO[bytes]) -> None:
    """Answer every frame of `given`, until there are no more. It computes with one thread: others code beside it.

    {"do": "encode", "height", "width", "quality"} with a picture is answered by {"string_bytes"} with a .lic file, and
    {"do": "decode"} with that by {"height", "width"} with a picture; what cannot be done by {"error": why}.
    """
    torch.set_num_threads(1)
    while (asked := read_frame(given)) is not None:
        try:
            answer = _encoded(codec, asked) if asked.words["do"] == "encode" else _decoded(codec, asked)
        except MemoryError:
            answer = Frame({"error": "there is not memory enough for it"})
        except (ValueError, RuntimeError) as error:
            answer = Frame({"error": str(error)})
        write_frame(taken, answer)


def _encoded(codec: Codec, asked: Frame) -> Frame:
    sides = asked.words["height"], asked.words["width"]
    picture = np.frombuffer(asked.body, np.uint8).reshape(*sides, 3)
    data = encode_image(picture, codec, quality=asked.words["quality"])
    return Frame({"string_bytes": parse(data).string_bytes}, data)


def _decoded(codec: Codec, asked: Frame) -> Frame:
    picture = decode_image(asked.body, codec, form="array")
    height, width, _ = picture.shape
    return Frame({"height": height, "width": width}, picture.tobytes())
