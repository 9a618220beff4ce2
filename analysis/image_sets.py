"""Whether runs were evaluated on images that had chosen their weights before."""

from collections.abc import Iterator

from analysis.runs import Runs
from lic_exp.tracking.tables import VALIDATES


def image_notes(runs: Runs) -> Iterator[str]:
    """What is to be said of the images of the runs' own evaluations; nothing where none of them validates."""
    rows = runs.evaluation[runs.evaluation["set"] == ""]
    if rows.empty:
        return
    known = rows.reindex(columns=["signature", "image", VALIDATES]).dropna()
    shared = known[known[VALIDATES].astype(bool)]
    if len(shared):
        count, images = shared["image"].nunique(), known["image"].nunique()
        yield (
            f"{count} of the {images} images that are evaluated validate too: each run's best weights were chosen on "
            "them; data=bundled_three_way, or evaluation.data, keeps the two apart"
        )
    if unknown := rows["signature"].nunique() - known["signature"].nunique():
        yield f"of {unknown} runs it was not recorded whether images that are evaluated validate too"
