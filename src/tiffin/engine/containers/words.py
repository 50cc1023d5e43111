"""Words of a request or an image that end up as parts of lines, or as C strings.

A blank or a newline in a name of `--add-host` would write further names or lines into /etc/hosts; a
NUL byte ends any path or argument early.
"""

from tiffin.api.types.containers import Config
from tiffin.api.types.host_config import HostConfig
from tiffin.api.types.networks import NetworkingConfig
from tiffin.engine.networks.files import check_line_words
from tiffin.errors import InvalidArgument


def check_network_words(
    config: Config, host: HostConfig, networking: NetworkingConfig | None
) -> None:
    """Raise InvalidArgument for what would spill into other fields of hosts or resolv.conf."""
    check_line_words("domainname", [config.domainname] if config.domainname else [])
    check_line_words("add-host", host.extra_hosts)
    check_line_words("dns", host.dns)
    check_line_words("dns-search", host.dns_search)
    check_line_words("dns-option", host.dns_options)
    check_line_words("link", host.links)
    for settings in ((networking.endpoints_config if networking else None) or {}).values():
        if settings is not None:
            check_line_words("network alias", settings.aliases)
            check_line_words("link", settings.links)


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
