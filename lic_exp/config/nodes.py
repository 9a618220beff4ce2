"""What a config's groups are made of: nodes that refuse what they do not know, and the components that they choose."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from lic_exp.component_schema import ComponentSchema
from lic_exp.config.read_only import ReadOnly


@dataclass(frozen=True)
class IdleWhen:
    """Marks a key that has no effect while another key of its group has this value."""

    key: str
    value: object


@dataclass(frozen=True)
class Component:
    """What a config chose for a group, or for a part of another component.

    options: its constructor's keyword-only arguments; one that is a component itself is a `Component`.
    """

    schema: ComponentSchema
    options: Mapping[str, Any]

    @property
    def target(self) -> str:
        """The dotted path of the class or function that makes it."""
        return self.schema.target

    @property
    def label(self) -> str:
        """The name of the class or function, for people."""
        return self.target.rpartition(".")[2]

    def plain(self) -> dict[str, Any]:
        """As in YAML."""
        return {"_target_": self.target} | plain_options(self.options)


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a component as in YAML."""
    return {key: value.plain() if isinstance(value, Component) else value for key, value in options.items()}


class Node(BaseModel):
    """Strict: no unknown keys, no silent conversion of types; and read-only."""

    # Built when first validated by, which most of these classes never are: nodes are judged by schemas made of theirs.
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True, defer_build=True)

    def plain(self) -> dict[str, Any]:
        """As in YAML."""
        return self.model_dump(by_alias=True)


class ComponentGroup(Node):
    """A group whose option is a component, or nothing at all (`_target_: null`)."""

    dotted_path: str | None = Field(alias="_target_")
    _component: Component | None = PrivateAttr(default=None)

    @property
    def component(self) -> Component | None:
        """What was chosen; None for nothing."""
        return self._component

    @property
    def options(self) -> Mapping[str, Any]:
        """Its options; none where nothing was chosen."""
        return self._component.options if self._component else ReadOnly()

    @property
    def label(self) -> str:
        """The name of the class or function that was chosen, or none."""
        return self._component.label if self._component else "none"

    def plain(self) -> dict[str, Any]:
        return super().plain() | plain_options(self.options)
