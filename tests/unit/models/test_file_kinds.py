"""What a file is that was taken for weights: said in one line, without opening what might never answer."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import socket
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from lic_exp.config.contents import file_hash
from lic_exp.config.errors import ConfigError
from lic_exp.models.files import CheckpointError, load_safely


def in_memory(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def tar(file):
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pt"))


def archive(*names):
    def write(file):
        with zipfile.ZipFile(file, "w") as made:
            for name in names:
                made.writestr(name, b"x")

    return in_memory(write)


def safetensors():
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4)


SAVED = in_memory(lambda file: torch.save({"a.b": torch.zeros(9)}, file))
KINDS = {
    "nothing": (b"", "is empty"),
    "zeros": (bytes(5000), "begins with nothing but zero bytes"),
    "a page": (b"<!doctype html><title>404</title>", "is a web page"),
    "a page, indented": (b"\xef\xbb\xbf\r\n  <HTML lang='en'>", "is a web page"),
    "XML": (
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "is XML, such as a server's error message",
    ),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "is a Git LFS pointer"),
    "a saved page": (b"\n<!-- saved from\nelsewhere -->\n<HTML>", "is a web page"),
    "a part of a page": (b'<meta charset="utf-8"><title>Not here</title>', "is a web page"),
    "blanks": (b" \n\t\n", "is a text, not a file of weights; it holds nothing but blanks"),
    "JSON": (b'{"message": "Not Found"}', 'is a text, not a file of weights; it begins: {"message": "Not Found"}'),
    "text": ("Grüße\nan alle\n".encode() * 99, "is a text, not a file of weights; it begins: Grüße"),
    "safetensors": (safetensors(), "is a safetensors file: torch.save(safetensors.torch.load_file(FILE)"),
    "npy": (in_memory(lambda file: np.save(file, np.zeros(3))), "is a NumPy array"),
    "npz": (in_memory(lambda file: np.savez(file, a=np.zeros(3))), "holds NumPy arrays (.npz)"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "is an HDF5 file"),
    "gzip": (gzip.compress(SAVED), "is compressed by gzip: unpack it first"),
    "bzip2": (bz2.compress(SAVED), "is compressed by bzip2: unpack it first"),
    "xz": (lzma.compress(SAVED), "is compressed by xz: unpack it first"),
    "tar": (in_memory(tar), "is a tar archive: unpack it first"),
    "zip": (archive("weights.pt", "notes\x1b[2J.txt"), "in it: weights.pt, notes\\x1b[2J.txt"),
    "TorchScript": (archive("m/data.pkl", "m/constants.pkl", "m/code/a.py"), "is a TorchScript program"),
    "a pickle": (pickle.dumps({"a": 1}), "is a pickle that torch.save did not write"),
    "a picture": (in_memory(lambda file: Image.new("RGB", (8, 8)).save(file, "PNG")), "is a picture (PNG)"),
    "cut": (SAVED[: len(SAVED) // 2], "is damaged: it begins as an archive, and its end is missing"),
    "noise": (bytes(range(128, 256)) * 9, "is damaged, no checkpoint, or written by something else than torch.save"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_of_tensors_is_called_what_it_is(tmp_path, kind):
    content, told = KINDS[kind]
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        load_safely(tmp_path / "w.pt")
    said = str(error.value)
    assert said.startswith(f"{tmp_path / 'w.pt'} ")
    assert told in said
    assert said.isprintable()
    assert len(said.removeprefix(str(tmp_path))) < 200


def pipe(path):
    os.mkfifo(path)


def listening(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: path.mkdir(), "is a folder; name a file in it"),
        (pipe, "is a pipe; name a file"),
        (listening, "is a socket; name a file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device; name a file"),
    ],
)
def test_what_is_no_regular_file_is_never_opened(tmp_path, monkeypatch, make, told):
    """Neither to be read nor to be signed: opening a pipe waits for a writer, and a device may have no end."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=told):
        load_safely(tmp_path / "w.pt")
    with pytest.raises(ConfigError, match=f"model.weights=.*w.pt {told}"):
        file_hash(str(tmp_path / "w.pt"), "model.weights")
