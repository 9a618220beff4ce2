"""What was found of the code is found once, as long as nothing of the code is other."""

import os
import sys

import pytest

from lic_exp.data import digest_store
from lic_exp.runs import code_hash, code_known, modules_read
from lic_exp.runs.code_known import Code

FOUND = Code({"lic_exp": "abc"}, ["lic_exp.one"])


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two modules that nothing is known of."""
    folder = tmp_path / "lic_exp"
    (folder / "sub").mkdir(parents=True)
    (folder / "one.py").write_text("ONE = 1\n")
    (folder / "sub" / "two.py").write_text("TWO = 2\n")
    (folder / "sub" / "note.txt").write_text("a note\n")
    monkeypatch.setattr(code_known, "PACKAGE", folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(modules_read, "_libraries", {"lic_exp": False, "yaml": True})
    return folder


class Asked:
    """What looks for it. times: how often."""

    def __init__(self, found=FOUND):
        self.times, self.found = 0, found

    def __call__(self):
        self.times += 1
        return self.found


def twice(change, components=("lic_exp.one.A",), again=None, settings=("s",), found=FOUND):
    """How often is looked when something changes between two questions; what is said is the same in any case."""
    asked = Asked(found)
    assert code_known.known(("s",), components, asked) == found
    change()
    assert code_known.known(settings, again or components, asked) == found
    return asked.times


def rewritten(path, text):
    """Of the same size and dates."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = {
    "a character, but neither size nor date": lambda folder: rewritten(folder / "one.py", "ONE = 2\n"),
    "another file": lambda folder: (folder / "three.py").write_text(""),
    "a file less": lambda folder: (folder / "one.py").unlink(),
    "another name": lambda folder: (folder / "one.py").rename(folder / "uno.py"),
    "the other's content": lambda folder: (folder / "one.py").replace(folder / "sub" / "two.py"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_code_that_is_other_is_looked_at_anew(package, what):
    assert twice(lambda: CHANGES[what](package)) == 2


@pytest.mark.parametrize(
    "given",
    [{"again": ("lic_exp.one.B",)}, {"again": ("lic_exp.one.A", "lic_exp.one.B")}, {"settings": ("s", "t")}],
)
def test_of_other_components_or_settings_nothing_is_known(package, given):
    assert twice(lambda: None, **given) == 2


def test_another_python_knows_nothing(package, monkeypatch):
    assert twice(lambda: monkeypatch.setattr(sys, "version", "3.99")) == 2


SAME = {
    "nothing": lambda folder: None,
    "a date": lambda folder: os.utime(folder / "one.py", (1, 1)),
    "what is no code": lambda folder: (folder / "sub" / "note.txt").write_text("another\n"),
}


@pytest.mark.parametrize("what", SAME)
def test_the_same_code_is_looked_at_once(package, what):
    assert twice(lambda: SAME[what](package)) == 1


def test_of_a_package_of_the_users_own_nothing_is_kept(package):
    assert twice(lambda: None, components=("lic_exp.one.A", "mine.B")) == 2


def test_nothing_is_kept_of_what_is_not_to_be_found(package):
    assert twice(lambda: None, found=None) == 2


BESIDE = {
    "a link of an editor's to nowhere": lambda folder: (folder / ".#one.py").symlink_to("nobody@nowhere"),
    "a name that cannot be imported": lambda folder: (folder / "one copy.py").write_text("ONE = 3\n"),
}


@pytest.mark.parametrize("what", BESIDE)
def test_what_lies_beside_the_code_is_no_code(package, what):
    BESIDE[what](package)
    assert twice(lambda: None) == 1


def test_of_folders_elsewhere_nothing_is_kept(package, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (package / "mine").symlink_to(tmp_path / "elsewhere")
    assert twice(lambda: None) == 2


def test_of_files_that_cannot_be_read_nothing_is_kept(package):
    (package / "three.py").symlink_to(package / "nowhere.py")
    assert twice(lambda: None) == 2


def test_changes_are_told_from_the_last_look_and_from_the_first(package, monkeypatch):
    monkeypatch.setattr(code_known, "_seen", [])
    assert (code_known.has_changed(), code_known.has_changed(), code_known.as_first_seen() is not None) == (
        True,
        False,
        True,
    )
    rewritten(package / "one.py", "ONE = 2\n")
    assert (code_known.has_changed(), code_known.has_changed(), code_known.as_first_seen() is not None) == (
        True,
        False,
        False,
    )
    rewritten(package / "one.py", "ONE = 1\n")
    assert (code_known.has_changed(), code_known.as_first_seen() is not None) == (True, True)


def test_a_process_that_read_former_code_keeps_nothing_of_it(monkeypatch, tmp_path):
    """A notebook that asks, whose user edits a file, and that asks for something else."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code_hash.forget()
    code_hash.code_hash(("lic_exp.optimizers.factories.adam",))
    read = [code_hash._part.cache_info().currsize]
    monkeypatch.setattr(code_known, "_seen", [b"of before"] * 2)
    code_hash.code_hash(("lic_exp.optimizers.factories.sgd",))
    read.append(code_hash._part.cache_info().misses)
    assert read[1] >= read[0] > 0  # all parts anew, none from memory
    assert code_hash._part.cache_info().hits == 0
    code_hash.forget()


@pytest.mark.parametrize("when", ["before", "between"])
def test_nothing_holds_where_a_librarys_name_is_something_else(package, monkeypatch, when):
    libraries = {"lic_exp": False, "yaml": False}
    if when == "before":
        monkeypatch.setattr(modules_read, "_libraries", libraries)
    assert twice(lambda: monkeypatch.setattr(modules_read, "_libraries", libraries)) == 2


def test_code_that_changes_while_it_is_looked_at_is_not_kept(package):
    def find():
        asked()
        (package / "one.py").write_text(f"ONE = {asked.times + 1}\n")
        return FOUND

    asked = Asked()
    for _ in range(2):
        assert code_known.known((), ("lic_exp.one.A",), find) == FOUND
    assert asked.times == 2


@pytest.mark.parametrize("text", [b"", b"[1", b"\xff", b"{}", b"[]", b"[1, 2]", b"null", b"3"])
def test_what_is_no_answer_is_none(package, monkeypatch, text):
    monkeypatch.setattr(digest_store, "read", lambda keys: dict.fromkeys(keys, text))
    assert twice(lambda: None) == 2


def test_a_home_that_takes_nothing_costs_time_alone(package, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert twice(lambda: None) == 2


def test_the_platforms_own_hash_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    components = ("lic_exp.optimizers.factories.adam",)
    code_hash.forget()
    found = code_hash.code_hash(components)
    assert found == code_hash.code_hash(components, root=code_known.PACKAGE.parent)
    code_hash.forget()
    monkeypatch.setattr(code_hash, "_found", lambda *_: pytest.fail("read anew"))
    assert code_hash.code_hash(components) == found
    assert code_hash.code_at_work(components, []) == found
    code_hash.forget()
