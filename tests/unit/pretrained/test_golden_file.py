"""A file that the pretrained codec of this version has made is decoded by it, and is what it makes of the same picture.

LIC_EXP_REGENERATE=1 writes it anew, for new weights before they are released. Afterwards people have such files.
"""

import json
import os

import numpy as np
import pytest
from checkout import ROOT
from file_codecs import pixels
from machines import kind_of_machine
from PIL import Image

import lic_exp
from lic_exp.files.parsing import parse
from lic_exp.pretrained.catalogue import card

FOLDER = ROOT / "tests" / "expected" / "pretrained"
REGENERATE = "LIC_EXP_REGENERATE" in os.environ


@pytest.fixture(scope="module")
def box():
    return lic_exp.load_pretrained("box")


def test_it_is_decoded_bit_for_bit(box) -> None:
    """On another kind of machine single samples may be off by one, as docs/files.md says of portable files."""
    if REGENERATE:
        regenerate(box)
    data, made_by = (FOLDER / "box.lic").read_bytes(), json.loads((FOLDER / "machine.json").read_text())
    file = parse(data)
    assert file.signature.hex() == card("box")["codec_signature"]
    assert file.delta is not None
    shown = lic_exp.decode_image(data, box, form="array").astype(int)
    with Image.open(FOLDER / "box.png") as expected:
        off = np.abs(shown - np.asarray(expected)).max()
    assert off <= (0 if made_by == kind_of_machine() else 1)


def test_it_is_made_byte_for_byte(box) -> None:
    if json.loads((FOLDER / "machine.json").read_text()) != kind_of_machine():
        pytest.skip("made on another kind of machine, where the encoder's part may differ in last bits")
    assert lic_exp.encode_image(pixels(90, 130), box, quality=20) == (FOLDER / "box.lic").read_bytes()


def regenerate(codec) -> None:
    FOLDER.mkdir(exist_ok=True)
    data = lic_exp.encode_image(pixels(90, 130), codec, quality=20)
    (FOLDER / "box.lic").write_bytes(data)
    lic_exp.decode_image(data, codec).save(FOLDER / "box.png")
    (FOLDER / "machine.json").write_text(json.dumps(kind_of_machine()) + "\n")
