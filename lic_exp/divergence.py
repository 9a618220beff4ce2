"""The one error that ends a run as `diverged`: what layers that do not know of each other raise and catch."""


class DivergedError(ArithmeticError):
    """Training has left what can be trusted; the update at which it was noticed was not made.

    step: how many steps had been done before it.
    """

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step
