"""Codecs that Pillow has, or a plugin of Pillow's. They convert colours by themselves and give files."""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from analysis.measured.codec import AnchorError, CodedPicture
from analysis.measured.colours import Conversion, Picture


def no_container(data: bytes) -> int:
    """Of a file whose format is the codec's own."""
    return 0


@dataclass(frozen=True)
class PillowCodec:
    """Saved by `Image.save(format=..., **options, **setting(quality))`, opened by `Image.open`.

    library: what Pillow calls the library that it uses (`PIL.features`). plugin: module and package that bring the
    format to Pillow, where it has not got it. container: bytes of a file that are not the codec's own.
    """

    name: str
    format: str
    library: str
    qualities: Sequence[float]
    conversion: Conversion
    options: Mapping[str, Any] = field(default_factory=dict)
    setting: Callable[[float], Mapping[str, Any]] = lambda quality: {"quality": _plain(quality)}
    container: Callable[[bytes], int] = no_container
    plugin: tuple[str, str] | None = None
    optimized_for: str | None = None
    note: str = ""

    def missing(self) -> str | None:
        if self.plugin is not None:
            module, package = self.plugin
            needed = f"it needs the package {package}: pip install 'lic-exp[anchors]'"
            return None if find_spec(module) is not None else needed
        from PIL import features

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an older Pillow does not know of all libraries
            is_here = features.check(self.library)
        return None if is_here else f"this Pillow was built without {self.library}"

    def version(self) -> str:
        from PIL import __version__, features

        if self.plugin is not None:
            from importlib.metadata import version

            return f"{self.plugin[1]} {version(self.plugin[1])}, Pillow {__version__}"
        library = "libjpeg_turbo" if self.library == "jpg" and features.check("libjpeg_turbo") else self.library
        return f"Pillow {__version__}, {library} {features.version(library)}"

    def command(self, quality: float) -> str:
        told = {**self.options, **self.setting(quality)}
        return f"Pillow {self.format} " + " ".join(f"{key}={value}" for key, value in told.items())

    def code(self, picture: Picture, quality: float) -> CodedPicture:
        from PIL import Image

        if self.plugin is not None:
            import_module(self.plugin[0])
        file = io.BytesIO()
        try:
            Image.fromarray(picture).save(file, self.format, **self.options, **self.setting(quality))
            with Image.open(io.BytesIO(file.getvalue())) as image:
                decoded = np.asarray(image.convert("RGB"))
        except MemoryError:
            raise
        except Exception as error:  # plugins raise anything
            raise AnchorError(f"{self.command(quality)}: {str(error) or type(error).__name__}") from error
        return CodedPicture(file.getvalue(), self.container(file.getvalue()), decoded)


def _plain(number: float) -> float | int:
    return int(number) if number == int(number) else number
