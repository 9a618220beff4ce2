"""What commands say."""

import pytest
from rich.console import Console

from lic_exp import exit_codes
from lic_exp.__main__ import main


def said(
    capsys: pytest.CaptureFixture[str],
    *arguments: str,
    width: int | None = None,
    monkeypatch: pytest.MonkeyPatch | None = None,
) -> str:
    """The output of a command that does what it should; on a terminal of `width` columns, where given."""
    if width is not None and monkeypatch is not None:
        monkeypatch.setattr(f"lic_exp.cli.{arguments[0]}.console_for", lambda file: Console(file=file, width=width))
    assert main(list(arguments)) == exit_codes.DONE
    return capsys.readouterr().out
