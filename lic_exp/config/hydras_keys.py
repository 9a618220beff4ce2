"""Keys of the node `hydra`, by which a command line could have Hydra call anything."""

import re

from hydra.core.override_parser.types import Override

CALLED = ("callbacks", "job_logging", "hydra_logging")
"""Nodes in which Hydra calls what they name."""


def is_hydras(key: str) -> bool:
    """Whether a key or a package belongs to the node `hydra`."""
    return re.split(r"[./]", key, maxsplit=1)[0] == "hydra"


def judge_hydras(argument: str, override: Override) -> str | None:
    """What is wrong with an override of Hydra's own node, or None."""
    key, *below = re.split(r"[./]", override.key_or_group)[1:] or [""]
    if not key or override.package:
        return f"{argument}: set single keys of Hydra's, e.g. hydra.launcher.slots=2"
    if key == "callbacks" or (key in CALLED and (below or "." in override.key_or_group)):
        return f"{argument}: Hydra would call what stands there, which is no component; nothing of it is taken here"
    if key == "searchpath" and "pkg://" in str(override.value()):
        return f"{argument}: a pkg:// is imported to be read; give its folder, hydra.searchpath=[file://FOLDER]"
    return None
