"""In what two curves of runs are unlike beside how they were measured: for how long, and on which seeds and images."""

from collections.abc import Iterator

from analysis.curve_files import CHOSEN, SEEDED, STEPS, Curve
from analysis.measured_alike import Unlike


def unlike_runs(anchor: Curve, test: Curve) -> Iterator[Unlike]:
    """What is to be said of two curves of which one at least is of runs."""
    chosen = [curve for curve in (anchor, test) if curve.about.get(CHOSEN)]
    if len(chosen) == 1:
        (curve,) = chosen
        count = curve.about[CHOSEN]
        yield Unlike("chosen-on-these", f"{count} of {curve.name}'s images validate too, and so chose its weights")
    lengths = [curve.about.get(STEPS) for curve in (anchor, test)]
    if all(lengths) and lengths[0] != lengths[1]:
        yield Unlike("other-length", f"{_trained(anchor)}; {_trained(test)}")
    seeds = [_seeds(curve) for curve in (anchor, test)]
    if all(seeds) and seeds[0] != seeds[1]:
        said = (f"{curve.name}: {', '.join(map(str, own))}" for curve, own in zip((anchor, test), seeds, strict=True))
        yield Unlike("other-seeds", f"of other seeds: {'; '.join(said)}")


def _trained(curve: Curve) -> str:
    return f"{curve.name} was trained for {' and '.join(map(str, curve.about[STEPS]))} steps"


def _seeds(curve: Curve) -> list[object]:
    return list(curve.about.get(SEEDED, ()))
