"""The one kind of error that the commands report without a traceback."""


class AnalysisError(ValueError):
    """The request or the data is wrong; the message says what, where, and what would be right."""


class CurveError(AnalysisError):
    """Rate-distortion points from which no honest number follows; `names` are the faults' names in docs/bd_rate.md."""

    def __init__(self, message: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.names = names
