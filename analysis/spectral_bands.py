"""What a diagnosis says band by band: each scale's share of the picture, its overlap with it, and with the others."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lic_exp.evaluation.diagnosis_files import Diagnosis

Numbers = NDArray[np.float64]

KINDS = ("luma", "chroma")
"""By BT.601; chroma is Cb and Cr together."""

BLANK_BELOW = 1e-6
"""A contribution with less than this part of the image's energy in a band has no direction there to speak of."""

EMPTY_BELOW = 1e-9
"""Nor has an image in a band with less than this part of all its energy, as a grey one's chroma."""

FLAT_BELOW = 1e-9
"""Nor has an image with less energy than this, the mean left out: one sample of 8 bits that is off by one has more."""


@dataclass(frozen=True)
class BandShares:
    """What the scales of a codec have of the picture, at one rate; NaN is blank, of no image known.

    Scales are 0 (the decode without any) to L. With X the image and C_l a scale's contribution in the band b:

    overlap: (1 + L, 2, bands), |<C_l, X>| / (|C_l| |X|), in [0, 1]: whether what is there is the image's.
    energy: (1 + L, 2, bands), |C_l|^2 / sum over l of |C_l|^2: which scale has most there; sums to 1.
    signed: (1 + L, 2, bands), <C_l, X> / |X|^2: which part of the image it brings; sums to that of the whole picture.
    strength: (1 + L, 2, bands), |C_l|^2 / |X|^2.
    error: (1 + L, 2, bands), |X - decode of l scales|^2 / |X|^2.
    cosine: (1 + L, 1 + L, 2, bands), |<C_l, C_m>| / (|C_l| |C_m|), in [0, 1]: 0 where two scales are apart.
    occupied: (1 + L, 2, bands), the part of a scale's own energy that is in the band; sums to 1 over both kinds.

    Each is the mean over images, of those where it is not blank; flat images take no part.
    """

    overlap: Numbers
    energy: Numbers
    signed: Numbers
    strength: Numbers
    error: Numbers
    cosine: Numbers
    occupied: Numbers


def band_shares(found: "Diagnosis", rate: int) -> BandShares:
    """Those of a diagnosis at its rate of this number, from 0."""
    return shares_of(found.products[rate])


def shares_of(products: Numbers) -> BandShares:
    """Those of inner products (N, 2, bands, 2 + L, 2 + L), the image's first (`lic_exp.ops.bands.band_products`)."""
    power = np.einsum("nkbii->nkbi", products)
    image, own = power[..., 0], power[..., 1:]
    whole = image.sum((1, 2), keepdims=True)
    empty = (image < EMPTY_BELOW * whole) | (whole < FLAT_BELOW)
    image = np.where(empty | (image <= 0), np.nan, image)
    with np.errstate(invalid="ignore"):
        blank = ~(own >= BLANK_BELOW * image[..., None])
    length = np.sqrt(np.where(blank, np.nan, own))
    with_image, between = products[..., 0, 1:], products[..., 1:, 1:]
    signed = with_image / image[..., None]
    pairs = np.abs(between) / (length[..., :, None] * length[..., None, :])
    return BandShares(
        overlap=_mean(np.abs(with_image) / (length * np.sqrt(image)[..., None])),
        energy=_mean(_over(own, np.where(np.isnan(image), np.nan, own.sum(-1))[..., None])),
        signed=_mean(signed),
        strength=_mean(own / image[..., None]),
        error=_mean(_errors(products) / image[..., None]),
        cosine=_mean(pairs),
        occupied=_mean(_over(own, np.where(whole[..., None] < FLAT_BELOW, 0.0, own.sum((1, 2), keepdims=True)))),
    )


def in_common(products: Numbers) -> Numbers:
    """How much every two signals have in common, in [0, 1]: (2 + L, 2 + L), symmetric, the image first.

    sum over kinds and bands of |<C_l, C_m>|, over |C_l| |C_m| of all bands together; the mean over images of products
    (N, 2, bands, 2 + L, 2 + L). 0 where they are in other bands, or in the same and unlike each other; 1 where one is a
    multiple of the other. NaN where either is nothing, less than `BLANK_BELOW` of the image's energy; flat
    images take no part.
    """
    own = np.einsum("nkbii->nkbi", products).sum((1, 2))
    blank = ~(own >= BLANK_BELOW * own[:, :1]) | (own <= 0) | (own[:, :1] < FLAT_BELOW)
    length = np.sqrt(np.where(blank, np.nan, own))
    common: Numbers = np.abs(products).sum((1, 2)) / (length[:, :, None] * length[:, None, :])
    return _mean(common)


def brought(products: Numbers) -> Numbers:
    """The part of the image that each scale brings, (1 + L,), over all kinds and bands; NaN where all images are flat.

    <C_l, X> / |X|^2 of products (N, 2, bands, 2 + L, 2 + L), the mean over images that have any detail.
    """
    total = products.sum((1, 2))
    energy = total[:, 0, :1]
    return _mean(_over(total[:, 0, 1:], np.where(energy < FLAT_BELOW, 0.0, energy)))


def centroid(shares: BandShares, edges: Numbers) -> Numbers:
    """The middle of each scale's energy (1 + L,) in rho / sqrt 2, luma and chroma together; NaN of one without."""
    centres = (np.asarray(edges)[1:] + np.asarray(edges)[:-1]) / 2
    found: Numbers = (shares.occupied * centres).sum((1, 2))
    return found


def _errors(products: Numbers) -> Numbers:
    """Energy (N, 2, bands, 1 + L) of the image less the contributions up to each scale."""
    size = products.shape[-1]
    # Rows (1, -1, ..., -1, 0, ...): what is left of the image after scale 0, 1, ...
    left = np.concatenate([np.ones((size - 1, 1)), -np.tri(size - 1)], 1)
    found: Numbers = np.einsum("li,nkbij,lj->nkbl", left, products, left)
    return np.maximum(found, 0.0)


def _over(values: Numbers, by: Numbers) -> Numbers:
    """The quotient; NaN where it is by 0."""
    blank = np.full(np.broadcast_shapes(values.shape, by.shape), np.nan)
    found: Numbers = np.divide(values, by, out=blank, where=by > 0)
    return found


def _mean(values: Numbers) -> Numbers:
    """Over images, the first axis, of those that are known; the axes after kinds and bands come first."""
    known = ~np.isnan(values)
    count = known.sum(0)
    total = np.where(known, values, 0.0).sum(0)
    mean = _over(total, count.astype(float))
    return np.moveaxis(mean, (0, 1), (-2, -1)) if mean.ndim >= 3 else mean
