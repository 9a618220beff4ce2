"""What decoders raise for bytes that they cannot have been meant for."""


class CodingError(ValueError):
    """A string that this decoder does not read as its encoder meant it."""
