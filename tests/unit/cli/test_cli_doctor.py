"""`doctor`: what it prints, and its exit code."""

import re

from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.runs import machine


def test_doctor_says_what_is_there(tmp_path, monkeypatch, capsys):
    findings = {"first": machine.ok("fine"), "second": machine.warning("[hm]")}
    monkeypatch.setattr(machine, "checks", lambda runs: {k: lambda v=v: v for k, v in findings.items()})
    assert main(["doctor"]) == exit_codes.DONE
    out = capsys.readouterr().out
    assert re.search(r"^second +warning +\[hm\] *$", out, flags=re.MULTILINE)
    assert "1 ok, 1 warning, 0 problem" in out


def test_doctor_reports_a_check_that_breaks_and_fails(monkeypatch, capsys):
    def broken():
        raise OSError("libcudart.so.12: cannot open shared object file\nmore")

    monkeypatch.setattr(machine, "checks", lambda runs: {"torch": broken})
    assert main(["doctor"]) == exit_codes.FAILED
    assert "problem  OSError: libcudart.so.12: cannot open" in capsys.readouterr().out
