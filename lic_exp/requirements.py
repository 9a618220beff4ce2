"""What a component demands of its options and of the rest of a config, declared beside it in literals.

    @signed_as("inter_scale")
    @declares(
        Forbids({"conv": "adversarial", "sign": "add"}, "conv=adversarial with sign=add: both sides would minimise it"),
        OnsetOptions(start="start", ramp="ramp", unit="unit", weight="delta"),
    )
    class InterScale(SpectralRegularizer): ...

`lic_exp.component_schema` reads the statements from the source text, so that a start-up check imports nothing; built by
hand, the component refuses the same. A package of the user's own declares in the same way.

Conditions are those of `lic_exp.conditions`: {option: what it must be}, and all must hold.

Texts take values: "{conv}", "{lmbda:g}", "{lmbda/65025:.6g}" (divided), "{codec.latents}", "{trainer.compile}".
"{here}" is what stands before the component's own keys, e.g. "criterion."; a text without it is led by the
component's path.
"""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

from lic_exp.capabilities import Definition
from lic_exp.conditions import MISSING, NOTHING, View, Word, are_numbers, hold, named


def declares(*statements: "Statement") -> Callable[[Definition], Definition]:
    """States what a component demands, and has its constructor refuse with a ValueError what its own options forbid."""

    def checked(definition: Definition) -> Definition:
        if not isinstance(definition, type):
            return cast(Definition, _checking(definition, statements))
        made: Any = definition
        made.__init__ = _checking(made.__init__, statements)
        return definition

    return checked


def _checking(call: Callable[..., Any], statements: "Sequence[Statement]") -> Callable[..., Any]:
    @functools.wraps(call)
    def checked(*supplied: Any, **options: Any) -> Any:
        view = View(options)
        if messages := [message for statement in statements for message in statement.objections(view)]:
            raise ValueError("; ".join(messages))
        return call(*supplied, **options)

    return checked


class Statement(Word):
    """Something that a component declares. inherited: whether it holds for subclasses too."""

    inherited: ClassVar[bool] = True

    def objections(self, view: View) -> Iterator[str]:
        """What to say where a config is not as demanded."""
        yield from ()

    def names(self) -> set[str]:
        """The component's options that it speaks of."""
        return set()


class Forbids(Statement):
    """Refuses, with this text, options for which all conditions hold.

    beside: conditions on keys of other groups, "trainer.compile". codec: on the facts of the chosen model. alone: only
    where the component is no part of another.
    """

    when: Mapping[str, Any]
    says: str
    beside: Mapping[str, Any] = NOTHING
    codec: Mapping[str, Any] = NOTHING
    alone: bool = False

    def holds(self, view: View) -> bool:
        placed = view.alone or not self.alone
        rest = hold(self.beside, view.beside, view) and hold(self.codec, view.fact, view)
        return placed and rest and hold(self.when, view.option, view)

    def objections(self, view: View) -> Iterator[str]:
        if self.holds(view):
            yield view.said(self.says)

    def names(self) -> set[str]:
        return named(self.when)


class ForbidsEach(Statement):
    """Refuses, with this text, each of these options that has this value; "{key}" and "{value}" are its own."""

    options: Sequence[str]
    value: Any
    says: str

    def objections(self, view: View) -> Iterator[str]:
        for name in self.options:
            if hold({name: self.value}, view.option, view):
                yield view.said(self.says, key=name, value=view.option(name))

    def names(self) -> set[str]:
        return {*self.options, *named(dict.fromkeys(self.options, self.value))}


class Entries(Statement):
    """How many entries these lists have; what: which they are, for the end of the text."""

    count: int
    options: Sequence[str]
    what: str = ""

    def objections(self, view: View) -> Iterator[str]:
        for name in self.options:
            value = view.option(name)
            if value is not MISSING and len(value) != self.count:
                yield view.led(f"{name} is {list(value)}, but needs {self.count} entries{self.what}")

    def names(self) -> set[str]:
        return set(self.options)


class Distinct(Statement):
    """No path stands twice in one of these lists, however it is written; why: what would come of it."""

    options: Sequence[str]
    why: str

    def objections(self, view: View) -> Iterator[str]:
        for name in self.options:
            value = view.option(name)
            seen: dict[str, int] = {}
            for index, path in enumerate(value if isinstance(value, list | tuple) else ()):
                first = seen.setdefault(os.path.abspath(os.path.expanduser(path)), index)
                if first != index:
                    yield view.said(f"{{here}}{name}[{first}] and [{index}] are one, {{path}}: {self.why}", path=path)

    def names(self) -> set[str]:
        return set(self.options)


class WindowOptions(Statement):
    """The options that say which window of training a component works in: start and length in a unit.

    unit: "epoch" or "step", of which there are whole ones, or "share" of all steps, with the end inside the training.
    """

    start: str
    length: str
    unit: str

    def objections(self, view: View) -> Iterator[str]:
        start, length, unit = (view.option(name) for name in (self.start, self.length, self.unit))
        if not are_numbers(start, length):
            return
        given = f"{self.start}={start} and {self.length}={length}"
        if start < 0 or not length > 0:
            yield view.led(f"{given} are no window: the start must be at least 0 and the length above 0")
        elif unit != "share":
            if start % 1 or length % 1:
                yield view.led(_whole(given, unit, self.unit))
        elif length > 1:
            yield view.led(
                f"{self.length}={length} is no share of the training: with {self.unit}=share it must be in (0, 1]; "
                f"for epochs or steps use {self.unit}=epoch or {self.unit}=step"
            )
        elif start + length > 1 + 1e-9:  # 0.9 + 0.1 and the like must pass
            yield view.led(
                f"{self.start}={start} + {self.length}={length} is past the end of the training: with "
                f"{self.unit}=share their sum must be at most 1"
            )

    def names(self) -> set[str]:
        return {self.start, self.length, self.unit}


class OnsetOptions(Statement):
    """The options that say when a component begins and how long it takes to its full weight; units as above.

    A start of null is for another component to give. weight: the option that is the weight, where there is one: at 0
    the component trains nothing but itself.
    """

    start: str
    ramp: str
    unit: str
    weight: str | None = None

    def objections(self, view: View) -> Iterator[str]:
        start, ramp, unit = (view.option(name) for name in (self.start, self.ramp, self.unit))
        start = 0 if start is None else start
        if not are_numbers(start, ramp):
            return
        given = f"{self.start}={start} and {self.ramp}={ramp}"
        if unit != "share" and (start % 1 or ramp % 1):
            yield view.led(_whole(given, unit, self.unit))
        if unit == "share" and (start >= 1 or ramp > 1):
            yield view.led(
                f"{given} are no shares of the training: with {self.unit}=share the {self.start} must be below 1 and "
                f"the {self.ramp} at most 1; for epochs or steps use {self.unit}=epoch or {self.unit}=step"
            )

    def names(self) -> set[str]:
        return {self.start, self.ramp, self.unit, *([self.weight] if self.weight else [])}


class ShownSides(Statement):
    """The options that say as which share of its sides a batch is shown: from `first` to `last`, along a schedule.

    still: the schedule that stays at `first`. Judged beside crop, model and criterion (`lic_exp.config.requirements`).
    """

    first: str
    last: str
    schedule: str
    still: str

    def smallest(self, view: View) -> float | None:
        """The smallest share; None where the options are no numbers."""
        still = view.option(self.schedule) == self.still
        shares = [view.option(name) for name in ((self.first,) if still else (self.first, self.last))]
        return min(shares) if are_numbers(*shares) else None

    def names(self) -> set[str]:
        return {self.first, self.last, self.schedule}


class Follows(Statement):
    """A part without a start of its own begins where another part's window ends, earlier by an overlap in its unit."""

    part: str
    after: str
    overlap: str

    def objections(self, view: View) -> Iterator[str]:
        return iter(())

    def names(self) -> set[str]:
        return {self.part, self.after, self.overlap}


def _whole(given: str, unit: str, unit_option: str) -> str:
    return f"{given} must be whole numbers of {unit}s; for a part of the training use {unit_option}=share"


class Unused(Statement):
    """Where the conditions hold, this option changes no bit of any result, and so is left out of signatures.

    Not inherited: what a subclass makes of an option, only it can say.
    """

    inherited: ClassVar[bool] = False
    option: str
    when: Mapping[str, Any]

    def holds(self, options: Mapping[str, Any]) -> bool:
        view = View(options)
        return hold(self.when, view.option, view)

    def names(self) -> set[str]:
        return {self.option, *named(self.when)}


class NoWeights(Statement):
    """Where the conditions hold, or always, the component has no weights of its own to train. Parts count apart.

    Without such a statement it is taken to have some. Not inherited.
    """

    inherited: ClassVar[bool] = False
    when: Mapping[str, Any] = NOTHING

    def holds(self, options: Mapping[str, Any]) -> bool:
        view = View(options)
        return hold(self.when, view.option, view)

    def names(self) -> set[str]:
        return named(self.when)
