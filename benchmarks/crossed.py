"""How often intervals over seeds and images hold the truth, by BD-rates of studies that are made up.

    python benchmarks/crossed.py --studies 500
    python benchmarks/crossed.py --studies 500 --seeds 3 --images 24 --share 0.5 --rest 0 --shape skewed

Prints a Markdown table: by seeds, images, A/A pairs and where the spread comes from, how many of 100 intervals hold
the true BD-rate, of those over seeds and images (`analysis.crossed`) and of those over seeds alone. A study has as many
pairs of trainings as seeds, each evaluated on the same images at six rates. An image has log-normal bits and a quality
of its own; a pair differs by an effect, by what its seed adds to all images (sd 0.5 %), by what an image adds in every
pair, and by what is of pair and image together. share: of the variance of the mean, what is the images'. rest: variance
of pair and image together over that of the seeds, as parts of the mean. skewed: images' effects are exponential.
"""

import argparse
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from measuring import machine

from analysis.censored import Observation, estimate, pooled
from analysis.crossed import crossed, image_part, pseudo_values
from analysis.quality import CHANGES

LMBDAS = np.array([0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483])
EFFECT = -0.02
SD = 0.005
"""Of what a pair's seed adds to the logarithm of its bits."""


@dataclass(frozen=True)
class Cell:
    """again: whether there are as many A/A pairs as seeds, from which the spread is learnt as well."""

    seeds: int
    images: int
    again: bool
    share: float
    rest: float
    shape: str

    @property
    def sd_of_images(self) -> float:
        return SD * math.sqrt(self.share / (1 - self.share) * (1 + self.rest) * self.images / self.seeds)

    @property
    def truth(self) -> float:
        """The BD-rate over all images that there could be [%]."""
        sd = self.sd_of_images
        mean = sd**2 / 2 if self.shape == "normal" else -sd - math.log1p(-sd)
        return 100 * math.expm1(EFFECT + mean)


def curves(random: np.random.Generator, cell: Cell) -> np.ndarray:
    """bpp, PSNR, lmbda and MSE of baselines, tests and A/A partners, (images, seeds, 3, 4, rates)."""
    shape = (cell.images, cell.seeds, 3)
    bits, quality = random.normal(0, 0.4, cell.images), random.normal(0, 2, cell.images)
    own = random.normal(0, 1, cell.images) if cell.shape == "normal" else random.exponential(1, cell.images) - 1
    arm = SD / math.sqrt(2)
    added = random.normal(0, arm, shape[1:]) + random.normal(0, arm * math.sqrt(cell.rest * cell.images), shape)
    added[..., 1] += (EFFECT + cell.sd_of_images * own)[:, None]
    bpp = np.exp(added[..., None] + bits[:, None, None, None]) * 3 * LMBDAS**0.55
    psnr = np.broadcast_to(44 + 4.2 * np.log10(LMBDAS) + quality[:, None, None, None], bpp.shape)
    return np.stack([bpp, psnr, np.broadcast_to(LMBDAS, bpp.shape), 10 ** (-psnr / 10)], -2)


def study(random: np.random.Generator, cell: Cell) -> tuple[bool, bool]:
    """Whether the interval over seeds and images holds the truth, and that over seeds alone."""
    images = curves(random, cell)
    change = CHANGES["bd_rate"][1]
    means = images.mean(0)
    values = [Observation(float(value)) for value in change(means[:, 0], means[:, 1], "nan")]
    again = [float(value) for value in change(means[:, 0], means[:, 2], "nan")] if cell.again else []
    by_image = pseudo_values(images, lambda of: change(of[..., 0, :, :], of[..., 1, :, :], "nan"))
    spread = pooled(again, values)
    both = crossed(spread, cell.seeds, image_part(by_image.T))
    return cell.truth in estimate(values, both).interval, cell.truth in estimate(values, spread).interval


def covered(cell: Cell, studies: int, seed: int = 0) -> tuple[float, float]:
    """Shares of `studies` intervals that hold the truth: over seeds and images, and over seeds alone."""
    random = np.random.default_rng(seed)
    held = np.array([study(random, cell) for _ in range(studies)])
    return float(held[:, 0].mean()), float(held[:, 1].mean())


def table(cells: Iterator[Cell], studies: int) -> Iterator[str]:
    yield "| seeds | images | A/A | images' share | rest | effects of images | seeds and images | seeds alone |"
    yield "|---|---|---|---|---|---|---|---|"
    for cell in cells:
        both, alone = covered(cell, studies)
        again = "yes" if cell.again else "no"
        yield (
            f"| {cell.seeds} | {cell.images} | {again} | {cell.share:g} | {cell.rest:g} | {cell.shape} "
            f"| {100 * both:.1f} | {100 * alone:.1f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 8])
    parser.add_argument("--images", type=int, nargs="+", default=[8, 24])
    parser.add_argument("--again", type=int, nargs="+", default=[1, 0], help="with A/A pairs, 1, or without, 0")
    parser.add_argument("--share", type=float, nargs="+", default=[0.0, 0.5, 0.9])
    parser.add_argument("--rest", type=float, nargs="+", default=[0.0, 1.0])
    parser.add_argument("--shape", nargs="+", default=["normal", "skewed"])
    options = parser.parse_args()
    chosen = (options.seeds, options.images, map(bool, options.again), options.share, options.rest, options.shape)
    print(f"{options.studies} studies a cell; {machine()}\n")
    for line in table((Cell(*one) for one in itertools.product(*chosen)), options.studies):
        print(line, flush=True)


if __name__ == "__main__":
    main()
