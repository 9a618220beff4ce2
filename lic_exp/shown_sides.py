"""As how many pixels a side of a crop is shown where training sees a part of it. Imports no torch."""


def shown_side(share: float, full: int, factor: int) -> int:
    """The nearest multiple of a codec's downsampling factor to a share of so many pixels, at least one, at most all."""
    return min(max(round(share * full / factor), 1) * factor, full)
