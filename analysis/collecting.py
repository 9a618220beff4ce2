"""Runs of a study into a results folder: small, the same bytes each time, and enough to make its tables and report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from analysis.collected_files import LEFT_OUT, LastParts, run_files, sweep_manifest, table_manifest
from analysis.errors import AnalysisError
from analysis.named_runs import Meaning, begun, several_named
from analysis.run_places import Place, given_path, no_store
from analysis.sweep_manifests import committed_runs
from lic_exp.ablation_spec import FOLDER
from lic_exp.atomic import write_atomically, write_json
from lic_exp.manifests import TableRecord, read_table_record
from lic_exp.records import SCHEMA_VERSION, RecordError
from lic_exp.runs.run import shown_state
from lic_exp.tracking.results_folder import (
    RESULTS_FILE,
    ResultsRecord,
    check_files,
    is_results_folder,
    results_record,
    sha256,
)
from lic_exp.tracking.run_folder import SWEEPS, RunFolder, is_run_folder

README = """# Results

What `python -m analysis collect` took of a study's runs: of each the config, the status, what it logged, and the
rows of its evaluations. `results.json` has the SHA-256 of every file. Tables and report are made of this alone,
without torch:

    python -m analysis ablation TABLE --from {out}
    python -m analysis report TABLE --from {out}

and one run is trained anew, and compared bit by bit, by

    python -m lic_exp rerun {out}/SIGNATURE

Left out is

{left_out}
"""


@dataclass
class NamedResults:
    """What is to be collected. runs: folders by signature. manifests: {path in the results folder: the file}."""

    runs: dict[str, Path] = field(default_factory=dict)
    manifests: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class CollectedResults:
    """What a results folder has now. notes: what is to be said of it."""

    folder: Path
    runs: int
    new: int
    size: int
    notes: tuple[str, ...]


def collect(
    names: Sequence[str], out: Place, *, runs: Place = "runs", scale: str | None = None, study: str = ""
) -> CollectedResults:
    """Put what these names mean into the results folder `out`, beside what is there; a run that is there is renewed.

    scale, study: of a table, which study of it; default: the newest. Runs that these extend, or begin from, come along.
    Raises AnalysisError where a run is at work or cannot be read, and where something else is in the folder.
    """
    no_store(runs, "files of runs")
    folder = given_path(out, "the name of the results folder")
    chosen = NamedResults()
    for name in names:
        for meaning in several_named(name, runs):
            _choose(chosen, meaning, scale, study)
    _add_origins(chosen)
    try:
        there = _there(folder)
        new, notes = _contents(chosen, folder, there)
        kept = {name: digest for name, digest in there.items() if name.split("/")[0] not in chosen.runs}
        check_files(folder, {name: digest for name, digest in kept.items() if name not in new})
    except (RecordError, FileNotFoundError) as error:
        raise AnalysisError(str(error)) from error
    files = kept | {name: sha256(content) for name, content in new.items()}
    _write(folder, new, files, [name for name in there if name not in files])
    size = sum((folder / name).stat().st_size for name in files)
    signatures = {name.split("/")[0] for name in files if not name.startswith(".")}
    return CollectedResults(folder, len(signatures), len(chosen.runs), size, tuple(notes))


def _choose(chosen: NamedResults, meaning: Meaning, scale: str | None, study: str) -> None:
    place = meaning.place or meaning.runs[0].folder.parent
    meant = {run.signature: run.folder for run in begun(meaning)}
    if meaning.kind == "table":
        path, record = _study(place, meaning.title, scale, study)
        committed = committed_runs(place)
        folders = {name: committed.get(name, place / name) for name in (cell["signature"] for cell in record["cells"])}
        meant = {name: run for name, run in folders.items() if is_run_folder(run)}
        if not meant:
            raise AnalysisError(f"no run of {meaning.title} study={record['study'][:8]} has begun")
        chosen.manifests[f"{FOLDER}/{path.name}"] = path
    elif scale is not None or study:
        raise AnalysisError(f"{meaning.title} is no table: --scale and --study choose between studies of one")
    if meaning.kind == "sweep":
        chosen.manifests[f"{SWEEPS}/{meaning.title}/manifest.json"] = place / SWEEPS / meaning.title / "manifest.json"
        cells = {run.signature for run in meaning.runs}
        for path, record in _tables(place):
            if cells <= {cell["signature"] for cell in record["cells"]}:
                chosen.manifests[f"{FOLDER}/{path.name}"] = path
    for name, run in sorted(meant.items()):
        if (known := chosen.runs.setdefault(name, run)) != run:
            raise AnalysisError(f"run {name} lies in {known.parent} and in {run.parent}; name one of them")


def _study(runs: Path, name: str, scale: str | None, study: str) -> tuple[Path, TableRecord]:
    known = [(path, record) for path, record in _tables(runs) if record["experiment"] == name]
    found = [
        (path, record)
        for path, record in known
        if scale in (None, record["scale"]) and record["study"].startswith(study)
    ]
    if not found:
        said = ", ".join(f"study={record['study'][:8]} scale={record['scale']}" for _, record in known)
        raise AnalysisError(f"{runs} has no study of {name} that is meant; it has {said}")
    return max(found, key=lambda one: one[1]["made"])


def _tables(runs: Path) -> list[tuple[Path, TableRecord]]:
    found = []
    for path in sorted((runs / FOLDER).glob("*.json")):
        try:
            found.append((path, read_table_record(path)))
        except RecordError as error:
            raise AnalysisError(f"{error}; launch one of its runs again to renew it") from error
    return found


def _add_origins(chosen: NamedResults) -> None:
    """What the runs go on from, whose costs count as theirs."""
    waiting = list(chosen.runs.values())
    while waiting:
        folder = waiting.pop()
        try:
            config = RunFolder(folder).plain_config()
        except RecordError as error:
            raise AnalysisError(str(error)) from error
        for name in filter(None, (config.get("parent"), config.get("init_from"))):
            origin = folder.parent / str(name)
            if name not in chosen.runs and is_run_folder(origin):
                chosen.runs[str(name)] = origin
                waiting.append(origin)


def _there(folder: Path) -> dict[str, str]:
    """{path: digest} of what is collected there already. Raises AnalysisError where something else is."""
    if is_results_folder(folder):
        return dict(results_record(folder)["files"])
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise AnalysisError(f"--out={folder}: something else is there, no results folder; name a new folder")
    return {}


def _contents(chosen: NamedResults, folder: Path, there: Mapping[str, str]) -> tuple[dict[str, bytes], list[str]]:
    """{path in the results folder: content} of all that is to be written, and what is to be said.

    Of a run that is done in the results and no longer is where it was taken from, the results stay.
    """
    found, notes, places = dict[str, bytes](), list[str](), LastParts()
    dirty = list[str]()
    for name, source in sorted(chosen.runs.items()):
        state = _state(source)
        if state != "done" and f"{name}/status.json" in there and _state(folder / name) == "done":
            notes.append(f"run {name} is done in {folder} and {state} in {source.parent}: that in {folder} stays")
            del chosen.runs[name]
            continue
        found |= {f"{name}/{inner}": content for inner, content in run_files(source, places).items()}
        dirty += [name] if b'"git_dirty": true' in found.get(f"{name}/environment.json", b"") else []
    for inner, path in chosen.manifests.items():
        found[inner] = (table_manifest if inner.startswith(FOLDER) else sweep_manifest)(path)
    if dirty:
        notes.append(f"{len(dirty)} runs were made with changes that were in no commit, which results do not have")
    return found, notes


def _state(folder: Path) -> str:
    """Raises AnalysisError of one that is at work, RecordError of one that cannot be read."""
    run = RunFolder(folder)
    state = shown_state(run.status(), run.status_file)
    if state == "running":
        raise AnalysisError(f"run {folder} is at work: wait for it, or stop it, before its results are collected")
    return state


def _write(folder: Path, new: Mapping[str, bytes], files: Mapping[str, str], gone: Sequence[str]) -> None:
    """results.json last: what an interruption leaves is refused, and collected anew by the same command."""
    left_out = "\n".join(f"- {text};" for text in LEFT_OUT)
    readme = README.format(out=folder.name if folder.is_absolute() else folder.as_posix(), left_out=f"{left_out[:-1]}.")
    for name, content in {**new, "README.md": readme.encode()}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    record: ResultsRecord = {
        "schema_version": SCHEMA_VERSION,
        "left_out": list(LEFT_OUT),
        "files": dict(sorted(files.items())),
    }
    write_json(folder / RESULTS_FILE, record)
