"""`-p` and `--expose` texts → port bindings (Docker's rules for ranges and addresses)."""

import ipaddress

from tiffin.cli.flags import UsageError

PROTOCOLS = ("tcp", "udp", "sctp")

Bindings = dict[str, list[dict[str, str]]]


def parse_publish(texts: list[str]) -> tuple[dict[str, dict[str, str]], Bindings]:
    """Return `(ExposedPorts, PortBindings)` of all `-p` values; UsageError."""
    exposed: dict[str, dict[str, str]] = {}
    bindings: Bindings = {}
    for text in texts:
        for port, binding in _parse_one(_long_form(text) if "=" in text else text):
            exposed[port] = {}
            bindings.setdefault(port, []).append(binding)
    return exposed, bindings


def parse_expose(texts: list[str]) -> dict[str, dict[str, str]]:
    """Return ExposedPorts of all `--expose` values; UsageError."""
    exposed: dict[str, dict[str, str]] = {}
    for text in texts:
        if ":" in text:
            raise UsageError(f"invalid port format for --expose: {text}")
        port, _, protocol = text.partition("/")
        first, last = _range(port, f"invalid range format for --expose: {text}")
        for number in range(first, last + 1):
            exposed[f"{number}/{protocol.lower() or 'tcp'}"] = {}
    return exposed


def _parse_one(text: str) -> list[tuple[str, dict[str, str]]]:
    body, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise UsageError(f"invalid proto: {protocol}")
    address, host, container = _split(body)
    if not container:
        raise UsageError(f"no port specified: {text}<empty>")
    first, last = _range(container, f"invalid containerPort: {container}")
    if not host:
        numbers = range(first, last + 1)
        return [(f"{n}/{protocol}", {"HostIp": address, "HostPort": ""}) for n in numbers]
    host_first, host_last = _range(host, f"invalid hostPort: {host}")
    if first == last and host_first != host_last:
        # One container port on any free one of a host range: the daemon chooses.
        return [(f"{first}/{protocol}", {"HostIp": address, "HostPort": host})]
    if host_last - host_first != last - first:
        raise UsageError(
            f"invalid ranges specified for container and host Ports: {container} and {host}"
        )
    return [
        (f"{first + i}/{protocol}", {"HostIp": address, "HostPort": str(host_first + i)})
        for i in range(last - first + 1)
    ]


def _split(text: str) -> tuple[str, str, str]:
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if not bracket or not rest.startswith(":"):
            raise UsageError(f"invalid IP address: {text}")
        parts = rest[1:].split(":")
        host, container = (parts[0], parts[1]) if len(parts) == 2 else ("", parts[0])
    else:
        *head, container = text.split(":")
        host = head.pop() if head else ""
        address = ":".join(head)
    if address:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise UsageError(f"invalid IP address: {address}") from None
    return address, host, container


def _range(text: str, fault: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    last = last if dash else first
    for number in (first, last):
        if not number.isdigit():
            syntax = f', error: strconv.ParseUint: parsing "{number}": invalid syntax'
            raise UsageError(fault + (syntax if "--expose" in fault else ""))
    low, high = int(first), int(last)
    if not low <= high <= 65535:
        raise UsageError(fault)
    return low, high


def _long_form(text: str) -> str:
    """Rewrite `target=80,published=8080,protocol=tcp,mode=host` to the short form."""
    fields: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise UsageError(f"invalid field: {part}")
        if key not in ("target", "published", "protocol", "mode"):
            raise UsageError(f"invalid field key: {key}")
        fields[key] = value
    if "target" not in fields:
        raise UsageError(f'missing mandatory field "target": {text}')
    published = fields.get("published", "")
    short = f"{published}:{fields['target']}" if published else fields["target"]
    return f"{short}/{fields.get('protocol', 'tcp')}"
