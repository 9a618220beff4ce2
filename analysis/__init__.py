"""Tables, curves and BD-rates from run folders and published points; imports no torch, and nothing before it is used.

import analysis
analysis.bd_rate(rate_anchor, quality_anchor, rate_test, quality_test)
analysis.load_curve("kodak/vtm_18.0").bpp
analysis.load_runs("runs").runs
analysis.plot_rd("SWEEP", "kodak/vtm_18.0").savefig("rd.png")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.bd import bd_quality, bd_rate
    from analysis.budgets import budget_speed_up
    from analysis.curves import load_curve, load_curves
    from analysis.figures import plot_loss, plot_rd, plot_saving
    from analysis.lagrangian import rd_change
    from analysis.measured.beside import measure_anchors
    from analysis.published import anchors
    from analysis.runs import Runs, load_runs
    from analysis.spectral_plots import plot_spectra
    from analysis.speedup import speed_up
    from analysis.statistics import bca_interval, resolvable, t_interval
    from analysis.sweeps import load_sweep
    from analysis.verdicts import verdict

_MODULE_OF = {
    "Runs": "analysis.runs",
    "anchors": "analysis.published",
    "bca_interval": "analysis.statistics",
    "bd_quality": "analysis.bd",
    "bd_rate": "analysis.bd",
    "budget_speed_up": "analysis.budgets",
    "load_curve": "analysis.curves",
    "load_curves": "analysis.curves",
    "load_runs": "analysis.runs",
    "load_sweep": "analysis.sweeps",
    "measure_anchors": "analysis.measured.beside",
    "plot_loss": "analysis.figures",
    "plot_rd": "analysis.figures",
    "plot_saving": "analysis.figures",
    "plot_spectra": "analysis.spectral_plots",
    "rd_change": "analysis.lagrangian",
    "resolvable": "analysis.statistics",
    "speed_up": "analysis.speedup",
    "t_interval": "analysis.statistics",
    "verdict": "analysis.verdicts",
}
"""Where each public name lives. No module may have the name of a public function: importing it would hide that."""

__all__ = [
    "Runs",
    "anchors",
    "bca_interval",
    "bd_quality",
    "bd_rate",
    "budget_speed_up",
    "load_curve",
    "load_curves",
    "load_runs",
    "load_sweep",
    "measure_anchors",
    "plot_loss",
    "plot_rd",
    "plot_saving",
    "plot_spectra",
    "rd_change",
    "resolvable",
    "speed_up",
    "t_interval",
    "verdict",
]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}; it has {', '.join(_MODULE_OF)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF])
