"""`rans.c` as machine code: made by the machine's C compiler when first needed, and kept in the user's cache folder.

A file there is named by what it was made of and by its own content, so that an edit, another machine and a damaged
file are seen. Where there is no compiler, or what it makes cannot be loaded, there is no library: CompressAI's binding
codes the same bytes, and takes longer.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from lic_exp.user_cache import cache_folder

log = logging.getLogger("lic_exp.models")

SOURCE = Path(__file__).with_name("rans.c")
OPTIONS = ("-O2", "-std=c11", "-shared", "-fPIC")
COMPILERS = ("cc", "gcc", "clang")
FOLDER = "compiled"
LONGEST_S = 120


class NoLibraryError(Exception):
    """Why there is none."""


@cache
def library() -> ctypes.CDLL | None:
    """The functions of `rans.c`, which let other threads run meanwhile; None where there are none, which is said."""
    try:
        return _declared(_loaded(SOURCE))
    except NoLibraryError as error:
        log.info("symbols are coded by CompressAI's binding, more slowly and to the same bytes: %s", error)
        return None


def _loaded(source: Path) -> ctypes.CDLL:
    """The library of a C source. Raises NoLibraryError."""
    if sys.byteorder != "little":
        raise NoLibraryError("this machine's numbers begin with their highest byte")
    try:
        kept = cache_folder() / FOLDER
        made_of = _key(source)
        path = _kept(kept, made_of) or _made(source, kept, made_of)
        return ctypes.CDLL(str(path))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        raise NoLibraryError(str(error) or type(error).__name__) from error


def _key(source: Path) -> str:
    machine = f"{platform.system()} {platform.machine()} {platform.libc_ver()} {' '.join(OPTIONS)}"
    return hashlib.sha256(machine.encode() + source.read_bytes()).hexdigest()[:16]


def _kept(folder: Path, made_of: str) -> Path | None:
    """The file that was made of this, if it is whole; one that is not is removed."""
    for path in folder.glob(f"{made_of}_*.so"):
        if path.name == _name(made_of, path.read_bytes()):
            return path
        path.unlink(missing_ok=True)
    return None


def _name(made_of: str, content: bytes) -> str:
    return f"{made_of}_{hashlib.sha256(content).hexdigest()[:32]}.so"


def _made(source: Path, folder: Path, made_of: str) -> Path:
    """Compile; another process may do the same meanwhile, and neither sees a part of the other's file."""
    compiler = _compiler()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".making_") as making:
        made = Path(making, "made.so")
        command = [*compiler, *OPTIONS, str(source), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LONGEST_S, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise NoLibraryError(f"{shlex.join(compiler)} does not compile {source.name}: {said[0]}")
        ctypes.CDLL(str(made))  # what cannot be loaded would be found again, whatever compiler there is by then
        path = folder / _name(made_of, made.read_bytes())
        os.replace(made, path)
    return path


def _compiler() -> list[str]:
    """The command of the C compiler: what CC says, or the first that there is."""
    try:
        chosen = shlex.split(os.environ.get("CC", ""))
    except ValueError as error:
        raise NoLibraryError(f"CC is no command line: {error}") from error
    for command in (chosen, *([name] for name in COMPILERS)):
        if command and shutil.which(command[0]):
            return command
    raise NoLibraryError("there is no C compiler (looked for CC, cc, gcc and clang)")


def _declared(found: ctypes.CDLL) -> ctypes.CDLL:
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    arguments = {
        "lic_exp_encode": [pointer, pointer, number, pointer, pointer, number],
        "lic_exp_begin": [pointer, number, pointer],
        "lic_exp_decode": [pointer, number, pointer, pointer, number, pointer, pointer],
        "lic_exp_comes_back": [number, pointer],
    }
    for name, kinds in arguments.items():
        function = getattr(found, name)
        function.argtypes, function.restype = kinds, number
    found.lic_exp_begin.restype = None
    return found
