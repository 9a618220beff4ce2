"""Files that earlier versions have written are decoded by this one."""

import numpy as np
import pytest
from file_codecs import FOUR, codec_of
from golden_files import FOLDER, PORTABLE
from PIL import Image

from lic_exp.files.coding import decode_picture, made_on
from lic_exp.files.layout import FileError
from lic_exp.files.parsing import parse
from lic_exp.files.pixels import to_array

GOLDEN = sorted(FOLDER.glob("*.lic"))
CODECS = {name: name for name in FOUR} | {"tiles_of_grey_with_alpha": FOUR[2]}
CODECS |= {f"portable_{name}": name for name in PORTABLE}


@pytest.mark.parametrize("path", GOLDEN, ids=[path.stem for path in GOLDEN])
def test_it_is_read_and_decoded(path) -> None:
    """On another machine than that which made it, a file that is not portable may end in an error; then by name."""
    file = parse(path.read_bytes())
    codec = codec_of(CODECS[path.stem.partition("_")[2]])
    with Image.open(path.with_suffix(".png")) as image:
        expected = np.asarray(image)
    here = file.made_on == made_on(codec)
    shown, refused = None, ""
    try:
        shown = to_array(decode_picture(file, codec))
    except FileError as error:
        refused = str(error)
    if shown is None:
        assert not here
        assert file.delta is None
        assert f"made on {file.made_on}" in refused
    else:
        assert shown.shape == expected.shape
        assert np.abs(shown.astype(int) - expected).max() <= (0 if here else 1)


def test_there_is_one_of_every_kind() -> None:
    files = [parse(path.read_bytes()) for path in GOLDEN]
    assert {file.codec_name for file in files} >= {"dhic", "hpcm128", "mean_scale_hyperprior", "joint_autoregressive"}
    assert any(file.tile for file in files)
    assert {file.codec_name for file in files if file.delta} == {"dhic", "hpcm128", "mean_scale_hyperprior"}
    assert any(file.grey and file.alpha is not None for file in files)
