"""What a file is that was taken for something else: told by its first bytes. Imports nothing heavy.

A download that was refused, a pointer in place of the file, an archive: whoever reads files of other people says so,
rather than what its own parser stumbled over.
"""

import json
import re

HEAD_BYTES = 512
"""Of a file; what it is shows in so many."""

UNPACK = "unpack it first"

BY_FIRST_BYTES: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself: git lfs pull fetches that"),
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

COMMENTS = re.compile(rb"\A(\s|<!--.*?-->)+", re.DOTALL)
"""Of HTML, and blanks: what may stand before a page begins."""

WEB_PAGE = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<meta", b"<title", b"<style", b"<div")


def foreign_bytes(head: bytes) -> str | None:
    """What a file is that begins so and is neither a plain text nor a file of numbers, and what to do about it.

    None where nothing is known of it. The words go on after the file's name: "is a web page: ...".
    """
    text = COMMENTS.sub(b"", head.removeprefix(b"\xef\xbb\xbf")).lower()
    found = (
        (not head, "is empty"),
        (text.startswith(WEB_PAGE), "is a web page: a download that was refused, or led to a page instead of the file"),
        (text.startswith((b"<?xml", b"<error")), "is XML, such as a server's error message"),
        (not head.strip(b"\0"), "begins with nothing but zero bytes: it was not written to its end"),
        (head[257:262] == b"ustar", f"is a tar archive: {UNPACK}"),
        *((head.startswith(mark), words) for mark, words in BY_FIRST_BYTES),
    )
    return next((words for is_so, words in found if is_so), None)


def not_utf8(head: bytes) -> str | None:
    """Of a file that should be a text in UTF-8, the encoding that it is in instead; None where it is none of these."""
    encoding = json.detect_encoding(head)
    if encoding.startswith("utf-8"):
        return None
    try:
        begins = head[: len(head) // 4 * 4].decode(encoding)
    except UnicodeDecodeError:
        return None
    if not all(char.isprintable() or char in "\r\n\t\ufeff" for char in begins):
        return None
    return f"is a text in {encoding.upper()[:6]}: save it as UTF-8"


def no_text(head: bytes) -> str | None:
    """What a file is that should be a text in UTF-8 and begins so, where it is known to be something else."""
    if head and not head.strip():
        return "holds nothing but blanks"
    return foreign_bytes(head) or not_utf8(head) or (f"is an archive: {UNPACK}" if head.startswith(b"PK\3\4") else None)
