"""The keys `registries` and `default-registry` of daemon.json.

{
  "default-registry": "registry.example.com",
  "registries": {
    "docker.io": {"mirrors": ["https://cache.lan/hub"], "order": "mirrors-only"},
    "registry.lan:5000": {"insecure": true}
  }
}
"""

import re
from collections.abc import Mapping
from typing import Any

from tiffin.errors import InvalidArgument
from tiffin.registry.endpoints import Order, RegistryRules

_HOST = r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?"
_DOMAIN = re.compile(_HOST)
_DEFAULT = re.compile(rf"(?:https?://)?{_HOST}/?")
_MIRROR = re.compile(rf"https?://{_HOST}(?:/[a-z0-9._/-]*)?")
_MEMBERS = frozenset({"mirrors", "insecure", "order"})


def registry_rules(value: Mapping[str, Any]) -> dict[str, RegistryRules]:
    """Return how registries are reached, by domain; InvalidArgument."""
    return {domain: _rules(domain, rules) for domain, rules in value.items()}


def default_registry(text: str) -> str:
    """Return the registry of names without one, "" for Docker Hub; InvalidArgument."""
    if text and not _DEFAULT.fullmatch(text):
        raise InvalidArgument(f"invalid default registry: {text!r} is not [https://]host[:port]")
    return text.rstrip("/")


def _rules(domain: str, value: object) -> RegistryRules:
    where = f"registries: {domain}"
    if not _DOMAIN.fullmatch(domain):
        raise InvalidArgument(f"{where}: not a host[:port]")
    if not isinstance(value, Mapping) or not value.keys() <= _MEMBERS:
        raise InvalidArgument(f"{where}: expected an object of {', '.join(sorted(_MEMBERS))}")
    mirrors, insecure = value.get("mirrors", []), value.get("insecure", False)
    if not isinstance(mirrors, list) or not isinstance(insecure, bool):
        raise InvalidArgument(f"{where}: mirrors must be a list, insecure true or false")
    for mirror in mirrors:
        if not isinstance(mirror, str) or not _MIRROR.fullmatch(mirror):
            raise InvalidArgument(f"{where}: invalid mirror: {mirror!r} is not a URL")
    orders = [each.value for each in Order]
    if (order := value.get("order", Order.MIRRORS_FIRST)) not in orders:
        raise InvalidArgument(f"{where}: order must be one of {', '.join(orders)}")
    if order == Order.MIRRORS_ONLY and not mirrors:
        raise InvalidArgument(f"{where}: {order} without mirrors")
    return RegistryRules(tuple(mirrors), insecure, Order(order))
