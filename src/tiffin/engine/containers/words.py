"""Words of a request or an image that end up as parts of lines, or as C strings.

A blank or a newline in a name of `--add-host` would write further names or lines into /etc/hosts; a
NUL byte ends any path or argument early.
"""

from collections.abc import Iterable

from tiffin.api.types.containers import Config
from tiffin.api.types.host_config import HostConfig
from tiffin.api.types.networks import NetworkingConfig
from tiffin.errors import InvalidArgument


def check_network_words(
    config: Config, host: HostConfig, networking: NetworkingConfig | None
) -> None:
    """Raise InvalidArgument for what would spill into other fields of hosts or resolv.conf."""
    _check_lines("domainname", [config.domainname] if config.domainname else [])
    _check_lines("add-host", host.extra_hosts)
    _check_lines("dns", host.dns)
    _check_lines("dns-search", host.dns_search)
    _check_lines("dns-option", host.dns_options)
    _check_lines("link", host.links)
    for settings in ((networking.endpoints_config if networking else None) or {}).values():
        if settings is not None:
            _check_lines("network alias", settings.aliases)
            _check_lines("link", settings.links)


def check_strings(config: Config) -> None:
    """Raise InvalidArgument for NUL bytes in what the kernel or a path gets to see."""
    for field, values in (
        ("user", [config.user]),
        ("working directory", [config.working_dir]),
        ("volume", config.volumes),
        ("command", config.cmd),
        ("entrypoint", config.entrypoint),
    ):
        for value in values or ():
            if "\0" in value:
                raise InvalidArgument(f"invalid {field}: {value!r} holds a NUL byte")


def _check_lines(option: str, values: Iterable[str] | None) -> None:
    for value in values or ():
        if not value or not value.isprintable() or set(value) & set(" #"):
            raise InvalidArgument(f"invalid {option}: {value!r}")
