"""What is recorded of the code that made a run: what is not known is never said to be clean."""

import json
import os
import stat
import subprocess
from importlib.metadata import distributions

import pytest

from lic_exp.runs import checkout, provenance
from lic_exp.runs.checkout import NO_CHECKOUT, CheckoutState, checkout_of, checkout_state, git
from lic_exp.runs.provenance import ORIGIN, _named, code_state, origin, record_environment, record_origin
from lic_exp.runs.run import Run
from lic_exp.runs.story import story
from lic_exp.tracking.mlflow_store import run_tags
from lic_exp.tracking.run_folder import RunFolder

IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@t")


def made(root, files):
    """A checkout with these files committed."""
    write(root, files)
    for command in (["init", "-q"], ["add", "-A", "-f"], [*IDENTITY, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", "-C", str(root), *command], check=True, capture_output=True)
    return root


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.fixture
def root(tmp_path):
    files = {
        "pack/__init__.py": "",
        "pack/model.py": "a = 1\n",
        "conf/config.yaml": "seed: 0\n",
        "pack/data.bin": b"\0\1",
    }
    return made(tmp_path / "checkout", files | {".gitignore": "ignored*\n/runs/\n"})


def state(root):
    return checkout_state(root, root / "pack", [root / "conf"], scripts=True)


def applied(state, root, folder):
    """The commit with the diff on top, somewhere else."""
    subprocess.run(["git", "clone", "-q", str(root), str(folder)], check=True, capture_output=True)
    subprocess.run(["git", "-C", str(folder), "apply", "-"], input=state.diff, check=True, capture_output=True)
    return folder


def test_a_clean_checkout(root):
    head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert state(root) == CheckoutState(head.stdout.strip(), dirty=False)


CHANGES = {
    "a change": {"pack/model.py": "a = 2\n"},
    "a new module": {"pack/other.py": "b = 1\n"},
    "a new option": {"conf/model/new.yaml": "_target_: x\n"},
    "a program": {"train.py": "import pack"},
    "an empty module": {"pack/sub/__init__.py": ""},
    "a module that git ignores": {"pack/ignored.py": "c = 1\n"},
    "not UTF-8": {"pack/model.py": b"a = '\xff\xfe'\n", "pack/new.py": b"# \xe9\n"},
    "a binary file": {"pack/data.bin": b"\0\2\3"},
    "a name of its own": {"pack/mod\u00e8le \u00e9.py": "d = 1\n"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_can_take_part_makes_it_dirty_and_is_in_the_diff(root, tmp_path, name):
    write(root, CHANGES[name])
    found = state(root)
    assert (found.dirty, found.problem, found.left_out) == (True, None, ())
    again = applied(found, root, tmp_path / "again")
    for file in CHANGES[name]:
        assert (again / file).read_bytes() == (root / file).read_bytes()


@pytest.mark.parametrize("name", ["runs/x/config.yaml", "notes.txt", "pack/__pycache__/model.py", "other/thing.py"])
def test_what_takes_no_part_does_not(root, name):
    write(root, {name: "x"} if "pycache" not in name else {name: "x", ".git/info/exclude": "__pycache__\n"})
    assert state(root).dirty is False


def test_what_is_too_large_for_a_diff_is_named(root, monkeypatch):
    monkeypatch.setattr(checkout, "MOST_BYTES", 100)
    write(
        root,
        {"pack/data.bin": b"\0" * 101, "pack/big.py": "x" * 101, "pack/small.py": "s = 1\n", "pack/weights.pt": "w"},
    )
    os.mkfifo(root / "pack" / "pipe.py")
    found = state(root)
    assert found.dirty is True
    assert set(found.left_out) >= {"pack/data.bin", "pack/big.py", "pack/weights.pt"}
    assert b"small.py" in found.diff
    assert b"big.py" not in found.diff


def test_a_submodule_with_changes_of_its_own(root, tmp_path):
    made(tmp_path / "inner", {"m.py": "a = 1\n"})
    add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "inner"), "pack/inner"]
    subprocess.run(["git", "-C", str(root), *add], check=True, capture_output=True)
    subprocess.run(["git", "-C", str(root), *IDENTITY, "commit", "-qm", "two"], check=True, capture_output=True)
    assert state(root).dirty is False
    write(root, {"pack/inner/m.py": "a = 2\n"})
    found = state(root)
    assert found.dirty is True
    assert b"+a = 2" in found.diff


def test_settings_of_ones_own_and_another_repository_in_the_environment_say_nothing(root, tmp_path, monkeypatch):
    other = made(tmp_path / "other", {"x": "y"})
    expected = state(root)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert state(root) == expected
    monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
    for place, (key, value) in enumerate({"color.ui": "always", "diff.external": "false"}.items()):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{place}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{place}", value)
    write(root, {"pack/model.py": "a = 2\n"})
    assert b"\n+a = 2\n" in state(root).diff


@pytest.fixture
def fake_git(tmp_path, monkeypatch):
    """What puts a script in git's place."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(script):
        (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "git").chmod(stat.S_IRWXU)

    return put


def test_without_git_nothing_is_known(root, fake_git):
    assert state(root) == CheckoutState(problem="git is not installed")


REFUSAL = "fatal: detected dubious ownership in repository at '/x'"
SAYS_NO = {
    "another owner": (f'echo "{REFUSAL}" >&2; exit 128', f"git: {REFUSAL}"),
    "without a word": ("exit 3", "git: exit code 3"),
    "no answer": ("exec /bin/sleep 60", "git did not answer within 0.2 s"),
}


@pytest.mark.parametrize("how", SAYS_NO)
def test_where_git_does_not_answer_nothing_is_known(root, fake_git, monkeypatch, how):
    script, said = SAYS_NO[how]
    monkeypatch.setattr(checkout, "TIMEOUT_S", 0.2)
    fake_git(script)
    assert state(root) == CheckoutState(problem=said)


def test_a_commit_may_be_known_where_changes_are_not(root, fake_git, monkeypatch):
    monkeypatch.setattr(checkout, "TIMEOUT_S", 5)
    fake_git('case "$*" in *diff*) echo "fatal: index file corrupt" >&2; exit 128;; *) echo c0ffee;; esac')
    assert state(root) == CheckoutState("c0ffee", problem="git: fatal: index file corrupt")


@pytest.mark.skipif(os.getuid() != 0, reason="gives a checkout to somebody else, which root alone can")
def test_somebody_elses_checkout_is_not_known(root):
    for path in [root, *root.rglob("*")]:
        os.chown(path, 12345, 12345, follow_symlinks=False)
    found = state(root)
    assert (found.commit, found.dirty) == (None, None)
    assert "dubious ownership" in found.problem


def test_what_lies_in_a_checkout_of_something_else_is_in_none(root):
    """As below a home folder that is a repository, or in an environment within a project."""
    write(root, {"tools/pack/__init__.py": "", ".venv/lib/site-packages/pack/__init__.py": ""})
    assert state(root).dirty is False
    assert checkout_of(root / ".venv/lib/site-packages/pack") is None
    tools = root / "tools" / "pack"
    assert checkout_of(tools) == root
    assert checkout_state(root, tools, []) == CheckoutState(problem=NO_CHECKOUT)
    assert checkout_state(None, tools, []) == CheckoutState(problem=NO_CHECKOUT)


def test_a_checkout_without_a_commit_is_not_known(tmp_path):
    write(tmp_path / "new", {"pack/__init__.py": ""})
    git(tmp_path / "new", "init", "-q")
    git(tmp_path / "new", "add", "-A")
    found = checkout_state(tmp_path / "new", tmp_path / "new" / "pack", [])
    assert (found.commit, found.dirty) == (None, None)
    assert found.problem.startswith("git: fatal")


@pytest.fixture
def here(root, monkeypatch):
    """The package as if it were that of `root`."""
    monkeypatch.setattr(provenance, "PACKAGE", root / "pack")
    monkeypatch.setattr(provenance, "conf_folder", lambda: root / "conf")
    return root


def plugin(monkeypatch, folder, name):
    monkeypatch.syspath_prepend(str(folder))
    write(folder, {f"{name}/__init__.py": "", f"{name}/codec.py": "x = 1\n"})


def test_the_users_packages_have_checkouts_of_their_own(here, tmp_path, monkeypatch):
    for name in ("beside", "followed", "loose"):
        plugin(monkeypatch, here if name == "beside" else tmp_path / name, name)
    made(tmp_path / "followed", {})
    assert code_state(["followed"]).facts["git_dirty"] is False
    assert code_state(["loose"]).facts["git_dirty"] is None, "its code is under no git"
    assert code_state(["nowhere"]).facts["plugins"]["nowhere"]["git_problem"] == "package nowhere cannot be found"
    write(tmp_path / "followed", {"followed/codec.py": "x = 2\n"})
    found = code_state(["beside", "followed", "loose"])
    assert found.facts["git_dirty"] is True
    assert {name: facts["git_dirty"] for name, facts in found.facts["plugins"].items()} == {
        "beside": True,
        "followed": True,
        "loose": None,
    }
    assert found.facts["git_diffs"] == ["git.diff", "git.followed.diff"] == list(found.diffs)
    assert b"b/beside/codec.py" in found.diffs["git.diff"]
    assert b"+x = 2" in found.diffs["git.followed.diff"]


def test_the_record_of_an_attempt_and_none_of_an_earlier_one(here, tmp_path):
    run = RunFolder(tmp_path / "run")
    run.create()
    write(here, {"pack/new.py": "n = 1\n"})
    assert record_environment(run, ["seed=0"])["git_dirty"] is True
    assert b"+n = 1" in (run.root / "git.diff").read_bytes()
    (here / "pack" / "new.py").unlink()
    assert record_environment(run, ["seed=0"])["git_dirty"] is False
    assert not (run.root / "git.diff").exists()
    assert json.loads(run.environment.read_text())["git_commit"]


def test_a_copy_of_the_code_has_the_commit_and_the_diff_of_its_origin(here, tmp_path, monkeypatch):
    write(here, {"pack/model.py": "a = 2\n"})
    expected = code_state()
    copy = tmp_path / "sweep" / "code"
    copy.mkdir(parents=True)
    (tmp_path / "second").mkdir()
    record_origin(copy, [])
    assert origin(copy) == expected
    monkeypatch.setattr(provenance, "PACKAGE", copy / "pack")
    run = RunFolder(tmp_path / "run")
    run.create()
    assert record_environment(run, []).items() >= expected.facts.items()
    assert (run.root / "git.diff").read_bytes() == expected.diffs["git.diff"]
    record_origin(tmp_path / "second", [])
    assert origin(tmp_path / "second") == expected, "a copy of a copy"
    (copy / "git.diff").unlink()
    found = origin(copy).facts
    assert (found["git_commit"], found["git_dirty"]) == (None, None)
    assert str(copy / "git.diff") in found["git_problem"]
    for damaged in ("{", "[]", '{"git_diffs": ["../other"]}', '{"git_commit": 3}'):
        (copy / ORIGIN).write_text(damaged)
        assert f"{copy / ORIGIN} cannot be read" in origin(copy).facts["git_problem"]


READ = {
    "clean": ({"git_commit": "c0ffee", "git_dirty": False}, "c0ffee", "false"),
    "dirty": (
        {"git_commit": "c0ffee", "git_dirty": True, "git_left_out": ["pack/w.pt", "x"]},
        "c0ffee, with uncommitted changes: git.diff, without pack/w.pt, x",
        "true",
    ),
    "changes not known": (
        {"git_commit": "c0ffee", "git_dirty": None, "git_problem": "git: fatal: index"},
        "c0ffee, uncommitted changes not known: git: fatal: index",
        None,
    ),
    "refused": ({"git_commit": None, "git_dirty": None, "git_problem": REFUSAL}, f"not known: {REFUSAL}", None),
    "as earlier": ({"git_commit": None, "git_dirty": False}, "not known: not run from a checkout", None),
}


@pytest.mark.parametrize("which", READ)
def test_whoever_reads_it_takes_nothing_unknown_for_clean(make_run, which):
    environment, shown, tag = READ[which]
    folder = make_run("aaaa")
    plugins = {"mine": {"git_commit": None, "git_dirty": None, "git_problem": NO_CHECKOUT}}
    (folder / "environment.json").write_text(json.dumps(environment | {"plugins": plugins}))
    told = dict(dict(story(Run(folder)))["environment"])
    assert told["git commit"] == shown
    assert told["git commit of mine"] == f"not known: {NO_CHECKOUT}"
    assert run_tags(RunFolder(folder)).get("lic_exp.git_dirty") == tag


@pytest.mark.parametrize("order", ["--assume-unchanged", "--skip-worktree"])
def test_what_git_was_told_not_to_look_at_is_not_called_clean(root, order):
    subprocess.run(["git", "-C", str(root), "update-index", order, "pack/model.py"], check=True)
    write(root, {"pack/model.py": "a = 2\n"})
    found = state(root)
    assert found.dirty is None
    assert found.problem == "git was told not to look at pack/model.py"


def test_a_compiled_module_that_git_ignores_is_named(root):
    write(root, {"pack/ignored.so": b"\x7fELF"})
    found = state(root)
    assert found.dirty
    assert list(found.left_out) == ["pack/ignored.so"]


LONG = "\n\nName: not this\nVersion: 0\n" + "a manual\n" * 1000


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("METADATA", f"Metadata-Version: 2.1\nName: Some.Package\nVersion: 1.2.3+local{LONG}"),
        ("METADATA", f"Version: 1.2\nSummary: Name: x\nName: some{LONG}"),
        ("METADATA", "Name: some\nVersion: 1"),
        ("METADATA", f"Name: some\r\nVersion: 1.0\r\n\r\nName: other{LONG}"),
        ("METADATA", f"name: some\nVERSION: 3{LONG}"),
        ("METADATA", f"Name:some\nVersion:4{LONG}"),
        ("PKG-INFO", f"Name: some\nVersion: 1.2{LONG}"),
    ],
)
def test_a_package_has_the_name_and_version_that_importlib_reads(tmp_path, file, text):
    folder = tmp_path / "some-1.dist-info"
    folder.mkdir()
    (folder / file).write_bytes(text.encode())
    (package,) = distributions(path=[str(tmp_path)])
    assert _named(package) == (package.metadata["Name"], package.version)


def test_every_installed_package_is_named_as_importlib_names_it():
    assert [_named(package) for package in distributions()] == [
        (package.metadata["Name"], package.version) for package in distributions()
    ]
