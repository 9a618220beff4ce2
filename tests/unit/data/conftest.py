"""What tests of the store of decoded photos look at."""

from pathlib import Path

import pytest
from decoded_photos import made_photos

from lic_exp.data import pixel_store
from lic_exp.data.images import ImageRef


@pytest.fixture
def four_photos(tmp_path: Path) -> list[ImageRef]:
    return made_photos(tmp_path / "photos")


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are made and looked at within the same tick of the clock, and change no more unless a test says so."""
    monkeypatch.setattr(pixel_store, "has_settled", lambda changed, now: True)


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that were decoded since the test began."""
    seen: list[str] = []
    decoded = ImageRef.decoded
    monkeypatch.setattr(ImageRef, "decoded", lambda image, data: seen.append(image.name) or decoded(image, data))
    return seen
