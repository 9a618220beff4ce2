"""Cells as jobs of a SLURM cluster."""

from lic_exp.sweeps.launchers.slurm.launcher import LAUNCHER

__all__ = ["LAUNCHER"]
