"""Which options of the inter-scale term exclude each other. Imports no torch: start-up checks use it too."""

from collections.abc import Iterator, Mapping
from typing import Any

NORMALISED = ("cos", "cos2", "cross_correlation", "normalised_l2")
"""Metrics that centre every channel and divide by its deviation: bounded by themselves."""

LEARNED = ("trained", "unit_norm", "adversarial")
FROZEN = ("frozen_random", "frozen_orthogonal")


def conflicts(options: Mapping[str, Any]) -> Iterator[str]:
    """A message for each combination of `InterScale`'s options that means nothing, with what to choose instead."""
    metric, bound, conv, detach = (options[key] for key in ("metric", "bound", "conv", "detach"))
    yield from _bound(metric, bound, options["bound_at"])
    yield from _detach(conv, detach)
    if conv == "adversarial" and options["sign"] == "add":
        yield "conv=adversarial with sign=add: both sides would minimise the distance, which is conv=trained"
    if conv == "frozen_orthogonal" and options["conv_bias"]:
        yield "conv=frozen_orthogonal has no bias: set conv_bias=false"
    if metric in NORMALISED and options["conv_bias"]:
        yield f"metric={metric} centres what the bias adds: set conv_bias=false"
    if options["gradient_cap"] is not None and options["gradient_every_steps"] is None:
        yield "gradient_cap needs the ratio to be measured: give gradient_every_steps"


def _bound(metric: str, bound: str, bound_at: float | None) -> Iterator[str]:
    if bound == "ratio" and metric in NORMALISED:
        yield f"bound=ratio divides a distance by the size of what it compares; metric={metric} has done so already"
    if bound == "hinge" and bound_at is None:
        yield "bound=hinge needs bound_at, the distance from which on there is no reward"
    if bound != "hinge" and bound_at is not None:
        yield f"bound_at={bound_at} is the hinge's: choose bound=hinge, or set bound_at=null"


def _detach(conv: str, detach: str) -> Iterator[str]:
    if detach == "conv" and conv in FROZEN:
        yield f"conv={conv} gets no gradient anyway: set detach=none"
    if detach == "conv" and conv == "adversarial":
        yield "conv=adversarial learns from a loss of its own, never from the codec's: set detach=none"
    if detach == "latents" and conv not in LEARNED:
        yield f"detach=latents leaves conv={conv} nothing to learn: set delta=0 to report without a gradient"
