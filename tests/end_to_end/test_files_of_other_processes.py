"""What was encoded in whatever way here is decoded in a fresh process to the encoder's own picture."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from checkout import ROOT
from file_codecs import FOUR, codec_of, encoders_picture, pixels
from PIL import Image

from lic_exp.files.coding import encode_image
from lic_exp.files.parsing import parse
from lic_exp.models.base import Compressed

KODAK = ROOT.parent / "shared" / "data" / "kodak"

SIZES = [(1, 1), (64, 64), (47, 130), (130, 33)]

DECODER = """
import json, sys
from pathlib import Path

import numpy as np

sys.path[:0] = json.loads(sys.argv[1])
import file_codecs
import lic_exp

for name in file_codecs.FOUR:
    for path in sorted(Path(name).glob("*.lic")):
        array = lic_exp.decode_image(path.read_bytes(), file_codecs.codec_of(name), form="array")
        np.save(path.with_suffix(".npy"), array)
"""


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each codec, with files made of pictures one after another, and what one process made of them."""
    folder = tmp_path_factory.mktemp("files")
    for name in FOUR:
        codec = codec_of(name)
        (folder / name).mkdir()
        for sides in SIZES:
            array = pixels(*sides)
            tensor = torch.from_numpy(array).permute(2, 0, 1)
            with torch.no_grad():  # what comes before leaves nothing behind
                codec(codec.pad(tensor[None] / 255).contiguous(memory_format=torch.channels_last))
            stem = folder / name / "{}x{}".format(*sides)
            stem.with_suffix(".lic").write_bytes(encode_image(tensor if sides[0] % 2 else array, codec))
    paths = json.dumps([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", DECODER, paths], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder


@pytest.mark.parametrize("name", FOUR)
@pytest.mark.parametrize("sides", SIZES)
def test_the_picture_is_the_encoders(decoded: Path, name: str, sides: tuple[int, int]) -> None:
    shown = np.load(decoded / name / "{}x{}.npy".format(*sides))
    assert np.array_equal(shown, encoders_picture(codec_of(name), pixels(*sides)))


@pytest.mark.parametrize("name", FOUR)
def test_in_a_batch_the_strings_are_those_of_one_alone(decoded: Path, name: str) -> None:
    codec = codec_of(name)
    one, other = (
        codec.pad(torch.from_numpy(pixels(64, 64)[::step].copy()).permute(2, 0, 1)[None] / 255) for step in (1, -1)
    )
    batch: Compressed = codec.compress(torch.cat([other, one]).contiguous(memory_format=torch.channels_last))
    (alone,) = zip(*codec.compress(one).strings, strict=True)
    assert list(zip(*batch.strings, strict=True))[1] == alone
    data = (decoded / name / "64x64.lic").read_bytes()
    assert all(string in data for string in alone)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.skipif(not KODAK.is_dir(), reason="Kodak's images are not at hand")
@pytest.mark.parametrize("name", FOUR)
def test_kodak_there_and_back_by_commands(name: str, tmp_path: Path) -> None:
    torch.save(codec_of(name).state_dict(), tmp_path / "weights.pt")
    by = ["--weights", "weights.pt", "--model", name]
    for command in (["compress", str(KODAK), "-o", "coded", *by], ["decompress", "coded", "-o", "back", *by]):
        subprocess.run([sys.executable, "-m", "lic_exp", *command], cwd=tmp_path, check=True)
    info = [sys.executable, "-m", "lic_exp", "info", "coded", "--json"]
    said = json.loads(subprocess.run(info, cwd=tmp_path, check=True, capture_output=True).stdout)
    assert len(said) == 24
    for fields in said:
        coded = Path(fields["file"])
        shown = np.asarray(Image.open(tmp_path / "back" / f"{coded.stem}.png"))
        original = np.array(Image.open(KODAK / f"{coded.stem}.png").convert("RGB"))
        assert np.array_equal(shown, encoders_picture(codec_of(name), original)), coded.stem
        data = (tmp_path / coded).read_bytes()
        assert (fields["height"], fields["width"], fields["bytes"]) == (*original.shape[:2], len(data))
        assert fields["bpp"] == 8 * parse(data).string_bytes / (original.size // 3)
