"""Checks of what lies on this machine's disks, and of what they are: the runs, their store, the checkout."""

import os
import pwd
import re
import resource
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from lic_exp.atomic import file_system_time
from lic_exp.places import PACKAGE, conf_folder
from lic_exp.runs.checkout import NO_CHECKOUT, checkout_of, checkout_state
from lic_exp.runs.findings import Finding, ok, problem, warning
from lic_exp.text import age_text, size_text
from lic_exp.tracking.run_folder import APART_S, DEAD_AFTER_S, SWEEPS

CLOCKS_APART_S = 5.0
FEW_OPEN_FILES = 1024
MOST_NAMED = 3


def check_store(path: Path) -> Finding:
    """The runs' sqlite store. A run does without it: what is wrong with it is a warning."""
    if not path.exists():
        return ok(f"none at {path} yet: the first run with tracker=mlflow makes it")
    found = f"{path}, {size_text(path.stat().st_size)}"
    advice = "training goes on without it; `python -m lic_exp sync` brings it up to date afterwards"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1)) as store:
            revision = store.execute("SELECT version_num FROM alembic_version").fetchone()[0]
            runs = store.execute("SELECT count(*) FROM runs").fetchone()[0]
    except sqlite3.OperationalError as error:
        return warning(f"{found}: {error}; {advice}")
    except (sqlite3.DatabaseError, TypeError) as error:
        return warning(f"{found}: damaged, or no store of MLflow ({error}). Move it away; {advice}")
    known = _revisions()
    if known and revision not in known:
        return warning(f"{found}: written by a newer MLflow than {version('mlflow')} (version {revision}); {advice}")
    newest = sorted(set(known) - {before for all_before in known.values() for before in all_before})
    if newest and revision not in newest:
        return warning(
            f"{found}: written by an older MLflow than {version('mlflow')} (version {revision}, not {newest[0]}). "
            f"Copy it, then `mlflow db upgrade sqlite:///{path.resolve()}`; {advice}"
        )
    return ok(f"{found}, {runs} MLflow runs, version {revision}")


def _revisions() -> dict[str, tuple[str, ...]]:
    """The versions of a store that the installed MLflow knows, {version: those before it}; from its files alone."""
    spec = find_spec("mlflow")
    if spec is None or spec.origin is None:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for path in (Path(spec.origin).parent / "store" / "db_migrations" / "versions").glob("*.py"):
        stated = dict(re.findall(r"^(revision|down_revision)\s*(?::[^=]+)?=\s*(.+)$", path.read_text(), re.MULTILINE))
        for name in re.findall(r"\w{8,}", stated.get("revision", "")):
            found[name] = tuple(re.findall(r"\w{8,}", stated.get("down_revision", "")))
    return found


def check_clock(folder: Path) -> Finding:
    """The clock of this machine against that of the runs' file system, which dates what is written there."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return warning(f"not known: {folder} cannot be written to")
    ahead = time.time() - file_system_time(folder)
    if abs(ahead) <= CLOCKS_APART_S:
        return ok(f"that of this machine agrees with that of the file system of {folder}")
    side = "ahead of" if ahead > 0 else "behind"
    found = f"that of this machine is {age_text(abs(ahead))} {side} that of the file system of {folder}"
    if abs(ahead) > APART_S:
        return warning(
            f"{found}: other machines can tell by its lock alone whether a run from here is alive; set the one that is "
            "wrong"
        )
    return warning(
        f"{found}: runs are told dead by their files' dates, so {DEAD_AFTER_S:g} s are not too few, but times in logs "
        "and tables will be apart; set the one that is wrong"
    )


def check_leftovers(runs: Path) -> Finding:
    """What lies among runs and sweeps and is neither a file nor a folder: reading it may never end."""
    found = [path for folder in _folders(runs) for path in _irregular(folder)]
    if not found:
        return ok(f"none in {runs}" if runs.is_dir() else f"{runs} is not there yet")
    named = ", ".join(f"{path} ({kind})" for path, kind in found[:MOST_NAMED])
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return problem(f"{named}{more}: should be regular files; remove them, and give the runs' commands again")


def _folders(runs: Path) -> Iterator[Path]:
    yield from (folder for folder in sorted(runs.glob("*")) if folder.is_dir())
    yield from (folder for folder in sorted((runs / SWEEPS).glob("*")) if folder.is_dir())


def _irregular(folder: Path) -> Iterator[tuple[Path, str]]:
    """What of a run's or sweep's folder cannot be read, with what it is."""
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = Path(entry.path)
            if entry.is_dir() and (path.suffix in OF_FILES or entry.name == ".lock"):
                yield path, "a folder"
            elif entry.is_symlink() and not path.exists():
                yield path, "a link to nothing"
            elif path.exists() and (kind := kinds.get(stat.S_IFMT(path.stat().st_mode))):
                yield path, kind


OF_FILES = (".json", ".jsonl", ".yaml", ".log", ".diff")


def check_limits() -> Finding:
    """What this shell allows each process."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    size, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if size != resource.RLIM_INFINITY:
        return warning(f"no file may be larger than {size_text(size)}, checkpoints included: ulimit -f unlimited")
    if files != resource.RLIM_INFINITY and files < FEW_OPEN_FILES:
        return warning(f"{files} open files: too few for data loaders with many workers; ulimit -n {FEW_OPEN_FILES}")
    return ok("no limit of open files" if files == resource.RLIM_INFINITY else f"{files} open files")


def check_git() -> Finding:
    """Whether runs can record the code that makes them."""
    root = checkout_of(PACKAGE)
    if shutil.which("git") is None:
        return warning("no git on the PATH: runs do not record the commit they were made with")
    state = checkout_state(root, PACKAGE, [conf_folder()], scripts=True)
    if state.problem == NO_CHECKOUT:
        return ok("installed as a package: runs record its version")
    if state.problem is not None:
        advice = _advice(root or PACKAGE)
        return warning(f"{root}: {state.problem}; what is not known of their code, runs record as null{advice}")
    if not state.dirty:
        return ok(f"{root}, clean")
    left_out = f", but for {', '.join(state.left_out)}" if state.left_out else ""
    return ok(f"{root}, with uncommitted changes: in each run's git.diff{left_out}")


def _advice(root: Path) -> str:
    """What to do about a checkout of somebody else's, which is what git minds most often."""
    owner = root.stat().st_uid
    if owner == os.geteuid():
        return ""
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"user {owner}"
    return f". It is {name}'s: take a checkout of your own, or git config --global --add safe.directory {root}"
