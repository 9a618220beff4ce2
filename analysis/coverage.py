"""What the intervals of a table cover: whether what they say would hold for other seeds, or for other images too."""

from collections.abc import Iterator, Sequence

from analysis.quality import CHANGES
from analysis.rows import AGAIN, Estimate, Row

QUANTITIES = {name: title for name, (title, _) in CHANGES.items()}


def coverage_notes(rows: Sequence[Row]) -> Iterator[str]:
    """A line for the speed-ups, and one for each thing that the others cover; rows are named where they differ."""
    measured = [(row, name, found) for row in rows for name in QUANTITIES if (found := _interval(row, name))]
    if any(row.speed or row.at_end for row in rows):
        yield "intervals of speed-ups cover seeds alone, not images: a run has one val/rd_loss of all that validate"
    said: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row, name, found in measured:
        said.setdefault((found.covers, found.why), {}).setdefault(QUANTITIES[name], []).append(row.label)
    for (covers, why), of in said.items():
        what = " and ".join(of) if len(said) == 1 else "; ".join(f"{name} of {', '.join(of[name])}" for name in of)
        alone = f" alone, not images: {why}" if why else ", crossed"
        yield f"intervals of {what} cover {covers}{alone}"
    if anchored := list(dict.fromkeys(name for row in rows for name in row.anchors)):
        yield (
            f"intervals against {', '.join(anchored)} cover seeds alone, each with its own row's spread, not images: "
            "there are no numbers by image"
        )


def spread_notes(rows: Sequence[Row]) -> Iterator[str]:
    """From which pairs the intervals have their spread: first of all rows in general, then of those apart."""
    general = "the spread pooled with the A/A row" if any(row.role == AGAIN for row in rows) else "the spread its own"
    apart = [row.label for row in rows if row.apart and (row.speed or row.bd_rate or row.rd_change)]
    yield general + (", but for rows with another baseline" if apart and "A/A" in general else "")
    if apart:
        yield (
            f"compared with another baseline than the table's: {'; '.join(apart)}; their spread is that of their own "
            "pairs alone, and the effects that so many seeds show are not theirs"
        )


def _interval(row: Row, name: str) -> Estimate | None:
    found: Estimate | None = getattr(row, name)
    return found if found and found.found.spread.known else None
