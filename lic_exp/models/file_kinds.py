"""What a file is that was taken for one of tensors: told by what is in it, never by running it. Imports no torch."""

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lic_exp.file_kinds import HEAD_BYTES, foreign_bytes
from lic_exp.text import first_line, shortened, visible

LEGACY_MARK = bytes.fromhex("6cfc9c46f9206aa85019")
"""The magic number of what torch.save wrote before it wrote ZIP archives, within the first pickle."""

SAVE_ANEW = "save its tensors alone, as torch.save(model.state_dict(), 'weights.pt') does"

OF_NUMBERS: tuple[tuple[bytes, str], ...] = (
    (b"\x93NUMPY", "is a NumPy array"),
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file, as Keras writes"),
    (b"GGUF", "is a GGUF file"),
)
"""What may well hold weights, and is not read."""

DAMAGED = "is damaged, no checkpoint, or written by something else than torch.save"


def foreign_kind(path: Path) -> str | None:
    """What a file is, if torch.save cannot have written it, and what to do; None where it can.

    path: of a regular file (`lic_exp.places.not_regular`). Raises OSError where it cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    try:
        return _by_bytes(head, path.stat().st_size) or _as_archive(path, head) or _as_text(head)
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return DAMAGED


def _by_bytes(head: bytes, size: int) -> str | None:
    safetensors = "torch.save(safetensors.torch.load_file(FILE), 'weights.pt')"
    found = (
        (_begins_safetensors(head, size), f"is a safetensors file: {safetensors} makes one that is read"),
        (head[:2] in (b"\x78\x01", b"\x78\x9c", b"\x78\xda"), f"is compressed by zlib, as joblib writes: {SAVE_ANEW}"),
        (_begins_other_pickle(head), f"is a pickle that torch.save did not write: {SAVE_ANEW}"),
        *((head.startswith(mark), f"{words}: {SAVE_ANEW}") for mark, words in OF_NUMBERS),
    )
    return foreign_bytes(head) or next((words for is_so, words in found if is_so), None)


def _begins_safetensors(head: bytes, size: int) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size


def _begins_other_pickle(head: bytes) -> bool:
    return head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5") and LEGACY_MARK not in head[:64]


def _as_archive(path: Path, head: bytes) -> str | None:
    if not head.startswith(b"PK"):
        return None
    if not zipfile.is_zipfile(path):
        return "is damaged: it begins as an archive, and its end is missing"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("constants.pkl") for name in names):
        return f"is a TorchScript program: load it by torch.jit.load where you trust it, and {SAVE_ANEW}"
    if any(name.endswith("data.pkl") for name in names):
        return None
    if names and all(name.endswith(".npy") for name in names):
        return f"holds NumPy arrays (.npz): {SAVE_ANEW}"
    inside = ", ".join(shortened(visible(name), 60) for name in names[:3]) or "nothing"
    return f"is a ZIP archive that torch.save did not write; in it: {inside}"


def _as_text(head: bytes) -> str | None:
    """Text in UTF-8; the last character of a long one may be cut in two."""
    try:
        text = (head if len(head) < HEAD_BYTES else head[:-4]).decode()
    except UnicodeDecodeError:
        return None
    if not all(char.isprintable() or char in "\r\n\t" for char in text):
        return None
    begins = shortened(visible(first_line(text)), 60)
    return f"is a text, not a file of weights; it {f'begins: {begins}' if begins else 'holds nothing but blanks'}"


def named_objects(path: Path) -> tuple[list[str], int]:
    """The classes and functions that reading a file of torch.save asks for, sorted, and its pickle protocol.

    Read as what they are, names; nothing is imported. As far as the file can be read: ([], 0) for a damaged one.
    """
    names: set[str] = set()
    protocol = 0
    try:
        for pickled in _pickles(path):
            texts = _Texts()
            for operation, argument, _ in pickletools.genops(pickled):
                if operation.name == "PROTO":
                    protocol = max(protocol, int(str(argument)))
                elif operation.name in ("GLOBAL", "INST"):
                    names.add(str(argument).replace(" ", ".", 1).replace("__builtin__.", "builtins."))
                elif operation.name == "STACK_GLOBAL":
                    names.add(".".join(texts.latest))
                texts.follow(operation.name, argument)
    except Exception:  # noqa: BLE001 (an archive that is damaged fails in any way, and what was read counts)
        pass
    return sorted(names), protocol


class _Texts:
    """The last two texts that a pickle has put on its stack, which the newer form of a name is made of."""

    def __init__(self) -> None:
        self.latest: list[str] = []
        self._kept: dict[int, str] = {}
        self._count = 0

    def follow(self, operation: str, argument: object) -> None:
        if "UNICODE" in operation:
            self.latest = [*self.latest[-1:], str(argument)]
        elif operation in ("BINGET", "LONG_BINGET"):
            assert isinstance(argument, int)
            self.latest = [*self.latest[-1:], self._kept.get(argument, "?")]
        elif operation == "MEMOIZE":
            self._keep(self._count)
        elif operation in ("BINPUT", "LONG_BINPUT"):
            assert isinstance(argument, int)
            self._keep(argument)

    def _keep(self, place: int) -> None:
        """The latest text, where it is what was put last; a name is not looked up where it is not."""
        self._count += 1
        if self.latest:
            self._kept[place] = self.latest[-1]


LEGACY_PICKLES = 5
"""Magic number, protocol, the machine's facts, the content, the keys of its storages; bytes follow."""


def _pickles(path: Path) -> Iterator[BinaryIO | bytes]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))
    else:
        with open(path, "rb") as file:
            yield from (file for _ in range(LEGACY_PICKLES))


READ_BY_TORCH = re.compile(
    r"torch\.((cuda\.)?\w+|_utils\.\w+|storage\.\w+|nn\.parameter\.Parameter|_tensor\._rebuild_from_type_v2"
    r"|serialization\._get_layout)|collections\.(OrderedDict|Counter)|_codecs\.encode"
    r"|builtins\.(bytearray|set|complex)"
)
