"""The one error that ends a run as `diverged`: what layers that do not know of each other raise and catch."""


class DivergedError(ArithmeticError):
    """Training has left what can be trusted.

    step: how many steps had been done when it was noticed; an update that was to follow was not made.
    """

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step
