"""What an evaluation found: as files, as a console table, and how far it is."""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from rich.table import Table

from lic_exp.atomic import write_atomically
from lic_exp.console import styled
from lic_exp.csv_text import frame_text
from lic_exp.evaluation.conventions import measured_as
from lic_exp.evaluation.curve_picture import write_curve
from lic_exp.evaluation.pictures import unless_it_fails
from lic_exp.json_text import json_text
from lic_exp.tracking import names
from lic_exp.tracking.run_folder import EVALUATION_FILE

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

MEASURES = ("bpp", "bpp_estimated", "bpp_gap_percent", "psnr", "ms_ssim", "ms_ssim_db", "encode_s", "decode_s")
"""The columns that have a mean."""

COMPRESSAI_KEYS = {
    "bpp": "bpp",
    "psnr": "psnr",
    "ms-ssim": "ms_ssim",
    "encoding_time": "encode_s",
    "decoding_time": "decode_s",
}
"""The lists in CompressAI's results files and the measure that each holds."""


@dataclass(frozen=True)
class Evaluation:
    """One codec on a set of images, at one rate or at several.

    rows: one row per image, and per rate in order of quality, with the columns

        image, height, width  name and original size [pixels]
        pixels                digest of what was coded (`lic_exp.image_identity`)
        rate, lmbda           quality and what it stands for; of variable-rate codecs only
        bpp                   transmitted bits over original pixels
        bpp_estimated         the same from the codec's likelihoods
        bpp_gap_percent       100 (bpp / bpp_estimated - 1): what the entropy coder adds [%]
        psnr                  [dB], 8-bit RGB; inf where the pictures are equal
        ms_ssim, ms_ssim_db   of the 8-bit pictures; NaN where the image is too small for it
        encode_s, decode_s    [s]
        exact                 the decoder's picture equals the encoder's, bit for bit
        max_abs_difference    between those two, on the scale [0, 1]
        trains                whether the run was trained on this image; of runs, as far as it is known
        validates             whether the run validates on this image too, so that it has chosen the weights; of runs

    further: columns of metrics beside these (`lic_exp.picture_metrics`), by their names; NaN as with MS-SSIM.
    images_changed: files that changed while they were evaluated; its numbers are then of nobody knows what.
    """

    name: str
    rows: "pd.DataFrame"
    device: torch.device
    further: Sequence[str] = ()
    images_changed: Sequence[str] = ()

    @property
    def points(self) -> "list[Evaluation]":
        """One evaluation per rate, in order of bpp; of a codec with one rate itself."""
        if "rate" not in self.rows:
            return [self]
        points = [replace(self, rows=rows.reset_index(drop=True)) for _, rows in self.rows.groupby("rate")]
        return sorted(points, key=lambda point: point.mean["bpp"])

    @property
    def at(self) -> dict[str, float]:
        """`rate` and `lmbda` of a point of a variable-rate codec."""
        return {label: float(self.rows[label].iloc[0]) for label in ("rate", "lmbda") if label in self.rows}

    @property
    def mean(self) -> dict[str, float]:
        """Mean over images of every measure; MS-SSIM over the `ms_ssim_images` large enough for it (NaN if none).

        Of several rates the mean over rates and images.
        """
        means = {measure: float(self.rows[measure].mean()) for measure in (*MEASURES, *self.further)}
        rates = self.rows["rate"].nunique() if "rate" in self.rows else 1
        counts = {"images": len(self.rows), "ms_ssim_images": int(self.rows["ms_ssim"].count())}
        return means | {name: count // rates for name, count in counts.items()}

    @property
    def sizes(self) -> dict[str, int]:
        """{"width x height" [pixels]: how many images are so large}."""
        images = self.points[0].rows
        return dict(
            Counter(f"{width} x {height}" for width, height in zip(images["width"], images["height"], strict=True))
        )

    @property
    def mismatches(self) -> list[str]:
        """Images whose decoder came to another picture than the encoder: their rate cannot be trusted."""
        rows = self.rows[~self.rows["exact"]].to_dict("records")
        return [f"{row['image']} at quality {row['rate']:g}" if "rate" in row else str(row["image"]) for row in rows]

    def metrics(self) -> dict[str, float]:
        """The means by metric name, for the tracker; without MS-SSIM where no image has it.

        Of a variable-rate codec by rate, as `lic_exp.tracking.names.at_quality` has it.
        """
        if "rate" not in self.rows:
            return self._metrics()
        points = [(point.at["rate"], point._metrics()) for point in self.points]
        return {names.at_quality(name, rate): value for rate, metrics in points for name, value in metrics.items()}

    def _metrics(self) -> dict[str, float]:
        by_name = {
            names.EVAL_BPP: "bpp",
            names.EVAL_BPP_ESTIMATED: "bpp_estimated",
            names.EVAL_PSNR: "psnr",
            names.EVAL_MS_SSIM: "ms_ssim",
            names.EVAL_MS_SSIM_DB: "ms_ssim_db",
            **{names.eval_metric(name): name for name in self.further},
        }
        mean = self.mean
        return {name: mean[measure] for name, measure in by_name.items() if not math.isnan(mean[measure])}

    def write(self, folder: Path, about: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Write `images.csv`, `rd_point.json` (CompressAI's results format) and `evaluation.json` into `folder`.

        about: what else evaluation.json shall say. It comes last: where it is, the others are whole. Of several rates
        it has the means of each as `points`, and `rd_curve.png` shows them. Which images they are of, and how rate
        and quality were taken, `rd_point.json` says too (`lic_exp.evaluation.conventions`).
        JSON knows no infinity and no NaN: they are written as "inf" and null (not measured).
        """
        measured = measured_as(self.points[0].rows, about, self.further)
        summary = {
            "name": self.name,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": _device_name(self.device),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            **about,
            **measured,
            "sizes": self.sizes,
            "exact": not self.mismatches,
            "mismatches": self.mismatches,
            "mean": self.mean,
            **({"points": [point.at | point.mean for point in self.points]} if self.at else {}),
            "rows": self.rows.to_dict("records"),
        }
        write_atomically(folder / "images.csv", frame_text(self.rows))
        write_atomically(folder / "rd_point.json", _json(rd_curve(self.points) | measured))
        (folder / "rd_curve.png").unlink(missing_ok=True)
        if len(self.points) > 1:
            with unless_it_fails("rd_curve.png"):
                write_curve(folder / "rd_curve.png", self.name, [point.at | point.mean for point in self.points])
        write_atomically(folder / EVALUATION_FILE, _json(summary))
        if self.mismatches:
            log.warning("decoder and encoder disagree on %s: see %s", ", ".join(self.mismatches), folder / "images.csv")


def rd_curve(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """CompressAI's results format: under `results` one list per measure with one entry per evaluation, in order.

    MS-SSIM, or a further metric, is left out unless every image of every evaluation has it: its mean would be of other
    images than the rate's. Points of variable-rate codecs have the lists `rate` (quality) and `lmbda` too.
    """
    wanted = COMPRESSAI_KEYS | {name: name for name in evaluations[0].further}
    keys = {key: measure for key, measure in wanted.items() if all(_has_all(one.rows[measure]) for one in evaluations)}
    means = [evaluation.mean for evaluation in evaluations]
    labels = {label: [evaluation.at[label] for evaluation in evaluations] for label in evaluations[0].at}
    return {
        "name": evaluations[0].name,
        "description": f"Real bitstreams, mean of {len(evaluations[0].rows)} images",
        "results": {key: [mean[measure] for mean in means] for key, measure in keys.items()} | labels,
    }


def _has_all(values: "pd.Series[Any]") -> bool:
    return bool(values.notna().all())


def evaluation_table(evaluation: Evaluation, *, max_rows: int = 30) -> Table:
    """For the console: one row per image and their mean; of several rates, one row per rate with its means.

    Of more than `max_rows` images only those are shown whose decoder disagrees with the encoder.
    """
    points = evaluation.points
    table = _rates_table(points) if len(points) > 1 else _images_table(points[0], max_rows)
    if evaluation.mismatches:
        several = "images" if len(points) == 1 else "images and rates"
        table.caption = (
            f"WARNING: on {len(evaluation.mismatches)} of {len(evaluation.rows)} {several} the decoder does not "
            "reproduce the encoder's picture"
        )
        table.caption_style = "bold red"
    return table


def _images_table(evaluation: Evaluation, max_rows: int) -> Table:
    at = ", ".join(f"{'quality' if label == 'rate' else label} {value:.6g}" for label, value in evaluation.at.items())
    title = styled(f"{evaluation.name}, {len(evaluation.rows)} images{at and f', {at}'}")
    table = Table(title=title, show_footer=True)
    mean = evaluation.mean
    columns = _columns(evaluation)
    for heading, measure, style in columns:
        text = "mean" if measure == "image" else style.format(mean[measure]) if measure in mean else ""
        table.add_column(
            heading, _blank_nan(text), justify="left" if measure == "image" else "right", footer_style="bold"
        )
    few = len(evaluation.rows) <= max_rows
    for row in evaluation.rows.to_dict("records"):
        if few or not row["exact"]:
            cells = [styled(_blank_nan(style.format(row[measure]))) for _, measure, style in columns]
            table.add_row(*cells, style=None if row["exact"] else "bold red")
    return table


def _rates_table(points: Sequence[Evaluation]) -> Table:
    images = len(points[0].rows)
    table = Table(title=styled(f"{points[0].name}, means of {images} images at {len(points)} rates"))
    columns = [("quality", "rate", "{:g}"), ("lmbda", "lmbda", "{:.4g}"), *_columns(points[0])[1:]]
    for title, *_ in columns:
        table.add_column(title, justify="right")
    for point in points:
        exact = not point.mismatches
        means = point.at | point.mean | {"exact": exact}
        cells = [_blank_nan(style.format(means[measure])) for _, measure, style in columns]
        table.add_row(*cells, style=None if exact else "bold red")
    return table


_COLUMNS = (
    ("image", "image", "{}"),
    ("bpp", "bpp", "{:.4f}"),
    ("estimated", "bpp_estimated", "{:.4f}"),
    ("gap %", "bpp_gap_percent", "{:+.2f}"),
    ("PSNR dB", "psnr", "{:.2f}"),
    ("MS-SSIM", "ms_ssim", "{:.4f}"),
    ("dB", "ms_ssim_db", "{:.2f}"),
    ("encode s", "encode_s", "{:.3f}"),
    ("decode s", "decode_s", "{:.3f}"),
    ("exact", "exact", "{}"),
)
"""Title, measure, format."""


def _columns(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Those, and further metrics after the first ones of quality."""
    place = [measure for _, measure, _ in _COLUMNS].index("encode_s")
    return [*_COLUMNS[:place], *((name, name, "{:.4f}") for name in evaluation.further), *_COLUMNS[place:]]


def _blank_nan(text: str) -> str:
    return "" if text.lstrip("+") == "nan" else text


def _device_name(device: torch.device) -> str:
    return f"cuda: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


def _json(value: Any) -> str:
    return json_text(value, indent=1, infinities=True) + "\n"
