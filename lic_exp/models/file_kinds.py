"""What a file is that was taken for one of tensors: told by its first bytes, never by running it. Imports no torch."""

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lic_exp.text import first_line, shortened, visible

HEAD_BYTES = 512
LEGACY_MARK = bytes.fromhex("6cfc9c46f9206aa85019")
"""The magic number of what torch.save wrote before it wrote ZIP archives, within the first pickle."""

SAVE_ANEW = "save its tensors alone, as torch.save(model.state_dict(), 'weights.pt') does"
UNPACK = "unpack it first"

BY_FIRST_BYTES: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself: git lfs pull fetches that"),
    (b"\x93NUMPY", f"is a NumPy array: {SAVE_ANEW}"),
    (b"\x89HDF\r\n\x1a\n", f"is an HDF5 file, as Keras writes: {SAVE_ANEW}"),
    (b"GGUF", f"is a GGUF file: {SAVE_ANEW}"),
    (b"SQLite format 3\0", "is an SQLite database"),
    (b"\x1f\x8b", f"is compressed by gzip: {UNPACK}"),
    (b"BZh", f"is compressed by bzip2: {UNPACK}"),
    (b"\xfd7zXZ\0", f"is compressed by xz: {UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"is compressed by zstd: {UNPACK}"),
    (b"\x04\x22\x4d\x18", f"is compressed by lz4: {UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"is a 7z archive: {UNPACK}"),
    (b"Rar!\x1a\x07", f"is a RAR archive: {UNPACK}"),
    (b"\x89PNG\r\n\x1a\n", "is a picture (PNG)"),
    (b"\xff\xd8\xff", "is a picture (JPEG)"),
    (b"GIF8", "is a picture (GIF)"),
    (b"%PDF", "is a PDF document"),
    (b"\x7fELF", "is a program or a library"),
)
DAMAGED = "is damaged, no checkpoint, or written by something else than torch.save"


def foreign_kind(path: Path) -> str | None:
    """What a file is, if torch.save cannot have written it, and what to do; None where it can.

    path: of a regular file (`lic_exp.places.not_regular`). Raises OSError where it cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return "is empty"
    try:
        return _by_bytes(head, path.stat().st_size) or _as_archive(path, head) or _as_text(head)
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return DAMAGED


def _by_bytes(head: bytes, size: int) -> str | None:
    text = COMMENTS.sub(b"", head.removeprefix(b"\xef\xbb\xbf")).lower()
    safetensors = "torch.save(safetensors.torch.load_file(FILE), 'weights.pt')"
    found = (
        (text.startswith(WEB_PAGE), "is a web page: a download that was refused, or led to a page instead of the file"),
        (text.startswith((b"<?xml", b"<error")), "is XML, such as a server's error message"),
        (not head.strip(b"\0"), "begins with nothing but zero bytes: it was not written to its end"),
        (_begins_safetensors(head, size), f"is a safetensors file: {safetensors} makes one that is read"),
        (head[257:262] == b"ustar", f"is a tar archive: {UNPACK}"),
        (head[:2] in (b"\x78\x01", b"\x78\x9c", b"\x78\xda"), f"is compressed by zlib, as joblib writes: {SAVE_ANEW}"),
        (_begins_other_pickle(head), f"is a pickle that torch.save did not write: {SAVE_ANEW}"),
        *((head.startswith(mark), words) for mark, words in BY_FIRST_BYTES),
    )
    return next((words for is_so, words in found if is_so), None)


COMMENTS = re.compile(rb"\A(\s|<!--.*?-->)+", re.DOTALL)
"""Of HTML, and blanks: what may stand before a page begins."""
WEB_PAGE = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<meta", b"<title", b"<style", b"<div")


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
