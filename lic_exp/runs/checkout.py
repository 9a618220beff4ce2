"""A git checkout as code that runs: its commit, and what of it is not committed.

What git does not say is None, never a no: it may be absent, refuse a checkout of somebody else's, or not answer.
"""

import os
import stat
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lic_exp.text import first_line

TIMEOUT_S = 20.0
MOST_BYTES = 5_000_000
"""Of the files whose content a diff holds; what is beyond is named."""

MOST_NAMED = 100
MODULES = (".py", ".yaml", ".yml")
"""What can be imported or composed: taken into the diff although git does not follow it."""

INSTALLED = ("site-packages", "dist-packages")
NO_CHECKOUT = "not in a git checkout"


@dataclass(frozen=True)
class CheckoutState:
    """commit: its hash. dirty: whether anything that may take part in a run is not in it. None: not known.

    problem: why something is not known. diff: what is not committed, as a patch; files too large for it are in
    `left_out`, by their names.
    """

    commit: str | None = None
    dirty: bool | None = None
    problem: str | None = None
    diff: bytes = b""
    left_out: tuple[str, ...] = ()


class GitError(Exception):
    """Git is not there, refused, or did not answer; the message is its own."""


def checkout_of(code: Path) -> Path | None:
    """The checkout that holds this package; None where it is installed, or under no git."""
    for folder in (code, *code.parents):
        if folder.name in INSTALLED:
            return None
        if (folder / ".git").exists():
            return folder
    return None


def checkout_state(root: Path | None, code: Path, more: Sequence[Path], *, scripts: bool = False) -> CheckoutState:
    """The checkout `root` of the package `code`. more: other folders of it that runs read.

    scripts: whether modules in its top folder count, as where programs lie there.
    """
    if root is None:
        return CheckoutState(problem=NO_CHECKOUT)
    state = CheckoutState()
    try:
        if not git(root, "ls-files", "-z", "--", _spec(root, code)):
            return CheckoutState(problem=NO_CHECKOUT)  # such as below a home folder that is one
        state = replace(state, commit=git(root, "rev-parse", "--verify", "HEAD").decode().strip())
        return _with_changes(state, root, [code, *more], scripts)
    except GitError as error:
        return replace(state, problem=str(error))


def _with_changes(state: CheckoutState, root: Path, places: Sequence[Path], scripts: bool) -> CheckoutState:
    changed = _names(git(root, "diff", "HEAD", "-z", "--name-only", *PLAIN))
    modules, others = _untracked(root, places, scripts)
    budget = _Budget(root)
    large = [name for name in changed if not budget.has_room(name)]
    new = {name: content for name in modules if budget.has_room(name) and (content := _content(root, name)) is not None}
    diff = b""
    if changed:
        but = [f":(top,exclude,literal){os.fsdecode(name)}" for name in large]
        diff = git(root, "diff", "HEAD", "--binary", "--submodule=diff", *PLAIN, "--", ":(top)", *but)
    hidden = _not_looked_at(root, places)
    left_out = [*large, *(name for name in modules if name not in new), *others]
    return replace(
        state,
        dirty=True if changed or modules or others else None if hidden else False,
        problem=f"git was told not to look at {', '.join(_shown(hidden))}" if hidden else None,
        diff=diff + b"".join(new_file(name, content) for name, content in new.items()),
        left_out=_shown(left_out),
    )


PLAIN = ("--ignore-submodules=none", "--no-color", "--no-ext-diff", "--no-textconv")
"""Whatever the user's own settings say."""


def _untracked(root: Path, places: Sequence[Path], scripts: bool) -> tuple[list[bytes], list[bytes]]:
    """Modules that git does not follow, those that it ignores too; and other files that it does not ignore."""
    specs = [_spec(root, place) for place in places if place.is_relative_to(root)]
    specs += [":(top,glob)*.py"] if scripts else []
    listed = ("ls-files", "--others", "-z", "--full-name")
    everything = _names(git(root, *listed, "--", *specs))
    modules = [name for name in everything if name.endswith(_SUFFIXES) and b"__pycache__/" not in name]
    found = set(modules)
    others = _names(git(root, *listed, "--exclude-standard", "--", *specs))
    others += [name for name in everything if name.endswith(_BINARY) and name not in others]
    return modules, [name for name in others if name not in found]


def _not_looked_at(root: Path, places: Sequence[Path]) -> list[bytes]:
    """Files whose changes git passes over: assume-unchanged, or skip-worktree and there nevertheless."""
    specs = [_spec(root, place) for place in places if place.is_relative_to(root)]
    tagged = _names(git(root, "ls-files", "-v", "-z", "--full-name", "--", *specs))
    marked = [name[2:] for name in tagged if name[:1].islower() or name[:1] == b"S"]
    return [name for name in marked if os.path.lexists(os.path.join(os.fsencode(root), name))]


def _spec(root: Path, place: Path) -> str:
    """A place in a checkout, in git's words."""
    return ":(top)" if place == root else f":(top,literal){place.relative_to(root)}"


def _content(root: Path, name: bytes) -> bytes | None:
    """None where it cannot be read, as when it has just been removed."""
    try:
        return (root / os.fsdecode(name)).read_bytes()
    except OSError:
        return None


_BINARY = (b".so", b".pyd")
_SUFFIXES = tuple(suffix.encode() for suffix in MODULES)


class _Budget:
    """Room in a diff, which each regular file in `root` takes some of. A file that is gone takes none."""

    def __init__(self, root: Path) -> None:
        self.root, self.left = root, MOST_BYTES

    def has_room(self, name: bytes) -> bool:
        try:
            found = os.lstat(os.path.join(os.fsencode(self.root), name))
        except OSError:
            return True
        if stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode):  # a submodule
            return True
        if not stat.S_ISREG(found.st_mode) or found.st_size > self.left:
            return False
        self.left -= found.st_size
        return True


def new_file(name: bytes, content: bytes) -> bytes:
    """A patch that makes this file."""
    head = b"diff --git a/%b b/%b\nnew file mode 100644\n" % (name, name)
    lines = content.split(b"\n")
    end = b"" if lines[-1] == b"" else b"\n\\ No newline at end of file\n"
    lines = lines[:-1] if lines[-1] == b"" else lines
    if not lines:
        return head
    body = b"\n".join(b"+" + line for line in lines)
    return head + b"--- /dev/null\n+++ b/%b\n@@ -0,0 +1,%d @@\n%b%b" % (name, len(lines), body, end or b"\n")


def _names(answer: bytes) -> list[bytes]:
    return [name for name in answer.split(b"\0") if name]


def _shown(names: Iterable[bytes]) -> tuple[str, ...]:
    texts = [name.decode(errors="backslashreplace") for name in names]
    more = len(texts) - MOST_NAMED
    return (*texts[:MOST_NAMED], f"and {more} more") if more > 0 else tuple(texts)


def git(root: Path, *arguments: str) -> bytes:
    """What git says of this checkout, whatever the environment says of another. Raises GitError."""
    environment = {key: value for key, value in os.environ.items() if key not in OF_A_REPOSITORY}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False, env=environment)
    except FileNotFoundError:
        raise GitError("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git did not answer within {TIMEOUT_S:g} s") from None
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.decode(errors="backslashreplace")
        raise GitError(f"git: {first_line(said.strip()) or f'exit code {done.returncode}'}")
    return done.stdout


OF_A_REPOSITORY = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"),
    *(
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_PREFIX",
        "GIT_EXTERNAL_DIFF",
        "GIT_DIFF_OPTS",
        "GIT_CEILING_DIRECTORIES",
    ),
    *("GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"),
)
"""Set in hooks and by `git rebase --exec`; or they would say what a path means."""
