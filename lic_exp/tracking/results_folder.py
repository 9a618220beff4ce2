"""A results folder: a folder of runs as they are published, small and without weights, which no training writes to.

results.json     the files that were collected, each with its SHA-256, and what they lack of those of the runs
README.md        the same for people
<signature>/     of a run what `analysis` reads; metrics.jsonl is packed (metrics.jsonl.gz)
.tables/ .sweeps/ the manifests of tables and sweeps

What else lies there, as tables and reports that were made of it, is nobody's business here. Imports no torch.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, with_config
from typing_extensions import TypedDict

from lic_exp.records import RECORD, Count, RecordError, read_file, read_record

RESULTS_FILE = "results.json"

InnerPath = Annotated[str, Field(pattern=r"^[^/\x00-\x1f]+(/[^/\x00-\x1f]+){0,8}$", max_length=500)]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@with_config(RECORD)
class ResultsRecord(TypedDict):
    """results.json. left_out: what files lack, in words. files: {path in the folder: SHA-256 of the content}."""

    schema_version: Count
    left_out: list[str]
    files: dict[InnerPath, Sha256]


def is_results_folder(folder: Path) -> bool:
    """Whether a folder says that it is one, whole or not."""
    return (folder / RESULTS_FILE).is_file()


def check_results(folder: Path) -> ResultsRecord:
    """What a results folder says of itself, once all of it was compared with that.

    Raises RecordError, which names the file, where the folder is none or not whole: a file that is gone or other than
    it was collected, or a run that was not.
    """
    record = results_record(folder)
    check_files(folder, record["files"])
    known = {name.partition("/")[0] for name in record["files"]}
    for config in sorted(folder.glob("[!.]*/config.yaml")):
        if config.parent.name not in known:
            raise RecordError(config, f"{RESULTS_FILE} names no such run: it was not collected. Move its folder away")
    return record


def check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Compare files with their digests. Raises RecordError, which names the first that is gone or another."""
    for name, digest in files.items():
        if ".." in name.split("/"):
            raise RecordError(folder / RESULTS_FILE, f"files: {name} is not in the folder")
        path = folder / name
        try:
            content = read_file(path)
        except FileNotFoundError:
            raise RecordError(path, f"it is gone; {RESULTS_FILE} names it. {WHOLE}") from None
        if sha256(content) != digest:
            raise RecordError(path, f"it is not the file that was collected: its SHA-256 is another. {WHOLE}")


def results_record(folder: Path) -> ResultsRecord:
    """results.json of a folder, and nothing else of it. Raises RecordError, also where there is none."""
    try:
        return read_record(folder / RESULTS_FILE, ResultsRecord)
    except FileNotFoundError:
        why = f"there is no {RESULTS_FILE} in it" if folder.is_dir() else "there is no such folder"
        raise RecordError(folder, f"{why}: it is no results folder; `python -m analysis collect` makes one") from None


WHOLE = "Take it from where the folder was published, or collect anew"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
