"""Errors a person can act on: what was wrong, where, and what would be right."""

import difflib
from collections.abc import Iterable

from lic_exp.text import visible


class ConfigError(ValueError):
    """Everything that is wrong with a config, one message each, in the words of its author.

    A message is one line, whatever names, values and other libraries' words it quotes.
    """

    def __init__(self, messages: Iterable[str]) -> None:
        self.messages = list(dict.fromkeys(map(visible, messages)))
        super().__init__("\n".join(self.messages))

    def report(self) -> str:
        """The text for the console, a line for each."""
        count = len(self.messages)
        head = f"{count} error{'s' if count > 1 else ''} in this config; nothing was started."
        return "\n".join([head, *(f"  {number}. {message}" for number, message in enumerate(self.messages, 1))])


def nearest(word: str, valid: Iterable[str]) -> str | None:
    """The valid name that `word` was most likely meant to be, or None.

    Looks for names that start with the word, contain it or one of its parts, besides similar spellings: difflib alone
    finds nothing near `tua` among `tau_init, tau_final`.
    """
    names = sorted(valid)
    if not word:
        return None
    close = difflib.get_close_matches(word.lower(), [name.lower() for name in names], n=1, cutoff=0.6)
    if close:
        return next(name for name in names if name.lower() == close[0])

    def score(name: str) -> float:
        parts = [name, *name.replace("-", "_").split("_")]
        whole = max(likeness(part, word) for part in parts)
        return 1.0 if name.lower().startswith(word.lower()) else whole

    best = max(names, key=score, default=None)
    return best if best is not None and score(best) >= 0.6 else None


def likeness(name: str, word: str) -> float:
    """How much of two spellings is the same, in [0, 1]."""
    return difflib.SequenceMatcher(None, word.lower(), name.lower()).ratio()


def did_you_mean(word: str, valid: Iterable[str], prefix: str = "") -> str:
    """' Did you mean X?' or nothing."""
    name = nearest(word, valid)
    return f" Did you mean {prefix}{name}?" if name else ""
