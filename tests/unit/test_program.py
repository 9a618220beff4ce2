"""What ends a program from outside: each of the three says so in words, with its exit code."""

import errno
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from checkout import ROOT

from analysis.__main__ import main as analysis
from lic_exp import exit_codes
from lic_exp.__main__ import main as lic_exp
from lic_exp.program import run_program

PROGRAMS = (
    [str(ROOT / "launch.py"), "--cfg=job"],
    ["-m", "lic_exp", "signature"],
    ["-m", "analysis", "rd", "--list"],
)


def shell(line: str, program: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """A line of a shell in which `"$@"` is the program."""
    command = ["sh", "-c", line, "sh", sys.executable, *program]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program[-1])
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ('"$@" > /dev/full', exit_codes.FAILED, "the output cannot be written: No space left on device\n"),
        ('"$@" >&-', exit_codes.DONE, ""),
        ('mkdir gone; cd gone; rmdir ../gone; "$@"', exit_codes.CONFIG, "the working folder is gone"),
    ],
)
def test_what_ends_it_from_outside(program, line, code, said, tmp_path):
    done = shell(line, program, tmp_path)
    assert done.returncode == code
    assert done.stderr.startswith(said) if said else not done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOTDIR])
def test_what_the_surroundings_refuse_is_told_by_its_path(number, capfd):
    def program() -> int:
        raise OSError(number, "refused", "runs/x")

    assert run_program(program) == exit_codes.FAILED
    assert capfd.readouterr().err == "runs/x: refused\n"


def test_a_bug_has_its_traceback():
    def program() -> int:
        raise OSError(errno.EINVAL, "a bug")

    with pytest.raises(OSError, match="a bug"):
        run_program(program)


@pytest.mark.parametrize(
    ("end", "code"), [(KeyboardInterrupt(), exit_codes.INTERRUPTED), (BrokenPipeError(), exit_codes.DONE)]
)
def test_who_reads_or_waits_may_leave(end, code, monkeypatch):
    monkeypatch.setattr("lic_exp.program.stop_showing", lambda: None)

    def program() -> int:
        raise end

    assert run_program(program) == code


def test_a_warning_of_a_library_is_one_line(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back afterwards

    assert run_program(lambda: exit_codes.DONE) == exit_codes.DONE
    text = warnings.formatwarning(UserWarning("\x1b[31m is not\navailable"), UserWarning, __file__, 1)
    assert text == "UserWarning: \\x1b[31m is not\\navailable\n"


@pytest.mark.parametrize(
    ("program", "arguments", "said"),
    [
        (lic_exp, ["show", "%"], "in runs, nor a run folder of that path"),
        (lic_exp, ["ls", "--runs", "%"], "File name too long"),
        (analysis, ["rd", "%"], "in runs, nor a run folder of that path"),
        (analysis, ["compare", "%", "x"], "in runs, nor a run folder of that path"),
    ],
)
def test_a_name_that_no_file_can_have_is_a_wrong_argument(program, arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert program([text.replace("%", "9" * 400) for text in arguments]) == exit_codes.CONFIG
    assert said in capsys.readouterr().err
