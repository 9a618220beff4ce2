"""What diagnoses say in words and in a table: how far the scales are apart, and since when."""

import math
from collections.abc import Sequence

from analysis.diagnoses import SETTLED, DiagnosedRun, Instant, below_from, common_by_step, settled_from

COLUMNS = ("scale", "bpp", "PSNR so far dB", "centre", "of the image", "like it", "in common", "foretold")
"""Of a scale: what it costs, side information with scale 0, the decode without any; PSNR of the decode up to it; the
middle of its energy in rho / sqrt 2; the part of the image that it brings; and, each from 0 to 1, how like the image it
is, what it has in common with the scale before, and how much of its latent the next finer one foretells."""


def title_of(course: DiagnosedRun) -> str:
    """Whose scales, when, at which rate, and of how many images."""
    last = course.last
    when = "best weights" if last.step is None else f"after step {last.step}"
    at = "" if course.quality is None else f", quality {course.quality:g}"
    images = len(last.found.about["images"])
    return f"{course.label}: {when}{at}, {images} image{'s' * (images > 1)}"


def scale_rows(course: DiagnosedRun) -> list[tuple[str, ...]]:
    """COLUMNS of every scale from 0 on, of the best weights or else of the last diagnosis."""
    last = course.last
    found, common, like, rows = last.found, last.common, last.alike[0, 1:], []
    for scale in range(found.scales + 1):
        before = common[scale - 1, scale] if scale > 1 else math.nan
        guess = found.foretold[last.rate, scale - 1] if 0 < scale < found.scales else math.nan
        mse = last.mse[scale]
        numbers = (
            (last.scale_bpp[scale], ".4f"),
            (-10 * math.log10(mse) if mse > 0 else math.inf, ".2f"),
            (last.centres[scale], ".3f"),
            (last.signed[scale], ".3f"),
            (like[scale], ".3f"),
            (before, ".3f"),
            (guess, ".3f"),
        )
        rows.append((str(scale), *("" if math.isnan(value) else format(value, form) for value, form in numbers)))
    return rows


def answers(courses: Sequence[DiagnosedRun]) -> list[str]:
    """Of each run what its scales have in common and since when; of the others beside the first, when they had less."""
    first, *others = courses
    lines = [line for course in courses for line in _of_one(course)]
    return lines + [_beside(course, first) for course in others]


def _of_one(course: DiagnosedRun) -> list[str]:
    last = course.last
    unforetold = last.found.about["unforetold"]
    lines = [f"{course.label}: {_common(last)}"]
    if len(course.along) > 1:
        values = common_by_step(course)
        since, end = settled_from(values), max(values)
        lines[0] += f"; after step {end} {_share(values[end])}" if last.step is None else ""
        if since is not None and since < end:
            lines[0] += f", within {SETTLED:.0%} of it from step {since} on"
        elif not math.isnan(values[end]):
            lines[0] += ", still moving at the last step"
    lines[0] += "".join(f"; {one}" for one in _empty(last))
    return [*lines, *([f"{course.label}: not all is foretold: {unforetold}"] if unforetold else [])]


def _common(one: Instant) -> str:
    """What the scales have in common, and not "nothing" where it is not known."""
    if math.isnan(one.in_common):
        return "what two scales have in common is not known"
    return f"two scales have {one.in_common:.3f} in common on average"


def _empty(one: Instant) -> list[str]:
    """Of each scale from 1 on that contributes nothing: that, and how much of the one before it foretells."""
    found = []
    for scale in range(1, one.found.scales + 1):
        if math.isnan(one.common[scale, scale]):
            guess = one.found.foretold[one.rate, scale - 2] if scale > 1 else math.nan
            told = "" if math.isnan(guess) else f", and foretells {guess:.3f} of scale {scale - 1}'s latent"
            found.append(f"scale {scale} contributes nothing{told}")
    return found


def _beside(course: DiagnosedRun, first: DiagnosedRun) -> str:
    mine, theirs = common_by_step(course), common_by_step(first)
    common = mine.keys() & theirs.keys()
    of_both = (mine[max(common)], theirs[max(common)]) if common else (course.last.in_common, first.last.in_common)
    if any(map(math.isnan, of_both)):
        at = f" at step {max(common)}" if common else ""
        return (
            f"{course.label}: whether its scales have less in common than those of {first.label} is not known "
            f"({_share(of_both[0])} and {_share(of_both[1])}{at})"
        )
    if not common:
        less = course.last.in_common < first.last.in_common
        return (
            f"{course.label}: its scales have {'less' if less else 'no less'} in common than those of {first.label} "
            f"({_share(course.last.in_common)}, {_share(first.last.in_common)}); since when, only "
            "evaluation.diagnosis along both trainings tells"
        )
    end = max(common)
    since = below_from(mine, theirs)
    numbers = f"{_share(mine[end])} and {_share(theirs[end])} at step {end}"
    if since is None:
        return f"{course.label}: its scales have no less in common than those of {first.label} ({numbers})"
    return (
        f"{course.label}: its scales have less in common than those of {first.label} from step {since} on ({numbers})"
    )


def _share(value: float) -> str:
    return "not known" if math.isnan(value) else f"{value:.3f}"
