"""Cells as processes of this machine."""

from lic_exp.sweeps.launchers.local.launcher import LAUNCHER

__all__ = ["LAUNCHER"]
