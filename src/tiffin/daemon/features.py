"""The `features` of daemon.json, and what each switches."""

from collections.abc import Mapping
from typing import Any

from tiffin.engine.cdi import DEFAULT_DIRECTORIES
from tiffin.errors import InvalidArgument

_WORDS = {"true": True, "1": True, "false": False, "0": False}
_KNOWN = frozenset({"cdi"})


def cdi_directories(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return where to look for device descriptions; none if the feature is off.

    InvalidArgument for a feature that is neither on nor off.
    """
    features = {name: _switch(name, value) for name, value in values.get("features", {}).items()}
    if not features.get("cdi", True):
        return ()
    return tuple(item for item in values.get("cdi-spec-dirs", DEFAULT_DIRECTORIES) if item)


def ignored_features(values: Mapping[str, Any]) -> list[str]:
    """Return which features mean nothing here, as a warning calls them."""
    return [f"feature {name}" for name in values.get("features", {}) if name not in _KNOWN]


def _switch(name: str, value: object) -> bool:
    found = value if isinstance(value, bool) else _WORDS.get(str(value).lower())
    if found is None:
        raise InvalidArgument(f"invalid value for feature {name}: {value}")
    return found
