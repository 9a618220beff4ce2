"""Whatever a command line holds: words for a person, a documented exit code, and nothing left of what was refused."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from checkout import ROOT
from command_fuzz import ANALYSES, LINES, VERBS, complaints, unprintable, working_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lic_exp import exit_codes

PROGRAMS = {"launch.py": LINES, "lic_exp": VERBS, "analysis": ANALYSES}
CALLS = st.one_of(*(st.tuples(st.just(program), lines) for program, lines in PROGRAMS.items()))


@pytest.fixture(scope="module", autouse=True)
def _place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        working_folder(patch, tmp_path_factory.mktemp("any"))
        yield


def cases(count: int, **more: Any) -> settings:
    return settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck), **more)


@cases(200, derandomize=True)
@given(call=CALLS)
def test_any_command_line(call):
    assert complaints(*call) == []


@pytest.mark.slow
@pytest.mark.soak
@cases(2000)
@given(call=CALLS)
def test_many_command_lines(call):
    assert complaints(*call) == []


FOUND = (
    ("launch.py", ["-m", "seed=0", "a=é"]),
    ("launch.py", ["plan=true", ""]),
    ("launch.py", ["\x1b[31m\u202e"]),
    ("launch.py", ["optimizer.betas=\"${oc.decode:'['}\""]),
    ("launch.py", ["optimizer.betas='${oc.decode:\\'[\\'}\x10'"]),
    ("launch.py", ["hydra.verbose=inf"]),
    ("launch.py", ["hydra.searchpath=[':*\x1b']"]),
    ("launch.py", ["model=factorized", "hydra.verbose=' '", "--help"]),
    ("launch.py", ["--cfg=job", "model.weights='a\x85\u202e'"]),
    ("launch.py", ["--cfg=all", "model.weights='a\x1b[31m'"]),
    ("launch.py", ["-nan\x99"]),
    ("launch.py", ["--info", "hydra.searchpath='\x07'"]),
    ("lic_exp", ["\x1b[31mls"]),
    ("lic_exp", ["ls", "--runs", "a[/b]"]),
    ("lic_exp", ["ls", "\r\u2028"]),
    ("lic_exp", ["gc", "--runs", "a" * 300]),
    ("lic_exp", ["status", "[" * 300]),
    ("lic_exp", ["status", "--runs", "9" * 300]),
    ("lic_exp", ["signature", "a=é", "-x"]),
    ("analysis", ["\u202e"]),
    ("analysis", ["rd", "[red]a[/red]\x1b"]),
    ("analysis", ["speedup", "--baseline=a\nb", "--test=c", "--runs", "9" * 300]),
)
"""Command lines that once ended in a traceback, in a code for the terminal, or in another exit code."""


@pytest.mark.parametrize(("program", "arguments"), FOUND)
def test_a_command_line_that_was_found(program, arguments):
    assert complaints(program, arguments) == []


@pytest.mark.parametrize("words", [[b"name=\xff\xfe"], [b"-m", b"a=\xe9"], [b"model=\x1b[31m"]])
def test_bytes_that_are_no_text_in_a_process_of_its_own(words):
    """Where the locale knows ASCII alone."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable.encode(), bytes(ROOT / "launch.py"), b"--cfg=job", *words]
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert done.returncode in (exit_codes.DONE, exit_codes.CONFIG)
    said = (done.stdout + done.stderr).decode("ascii")
    assert unprintable(said) == []
    assert "Traceback" not in said
