"""The PORTS column: mappings of one address and protocol, neighbours joined into ranges."""

from collections.abc import Mapping, Sequence
from typing import Any

Key = tuple[str, str]


def format_ports(ports: Sequence[Mapping[str, Any]]) -> str:
    """Return e.g. `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp`."""
    ordered = sorted(
        ports,
        key=lambda p: (p["PrivatePort"], p.get("IP", ""), p.get("PublicPort", 0), p["Type"]),
    )
    exposed: dict[str, list[tuple[int, int]]] = {}
    published: dict[Key, list[tuple[int, int]]] = {}
    for port in ordered:
        private, public = port["PrivatePort"], port.get("PublicPort", 0)
        if not public:
            exposed.setdefault(port["Type"], []).append((private, private))
        else:
            published.setdefault((port.get("IP", ""), port["Type"]), []).append((private, public))
    texts = [
        _published(ip, protocol, run)
        for (ip, protocol), pairs in published.items()
        for run in _runs(pairs)
    ]
    texts += [
        f"{_span([private for private, _ in run])}/{protocol}"
        for protocol, pairs in exposed.items()
        for run in _runs(pairs)
    ]
    return ", ".join(texts)


def _published(ip: str, protocol: str, run: list[tuple[int, int]]) -> str:
    host = f"[{ip}]" if ":" in ip else ip
    public = _span([public for _, public in run])
    return f"{host}:{public}->{_span([private for private, _ in run])}/{protocol}"


def _runs(pairs: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    runs: list[list[tuple[int, int]]] = []
    for pair in sorted(set(pairs)):
        if runs and (runs[-1][-1][0] + 1, runs[-1][-1][1] + 1) == pair:
            runs[-1].append(pair)
        else:
            runs.append([pair])
    return runs


def _span(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
