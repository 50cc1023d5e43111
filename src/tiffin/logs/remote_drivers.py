"""Which class is behind the name of a driver that sends logs elsewhere."""

from collections.abc import Mapping

from tiffin.logs.remote import LogSource, RemoteDriver


def open_remote(driver: str, options: Mapping[str, str], source: LogSource) -> RemoteDriver:
    """Return the driver, not connected; ValueError for bad options or another name."""
    # Only the one that is used is loaded.
    if driver == "journald":
        from tiffin.logs.journald import JournaldDriver

        return JournaldDriver(source)
    if driver == "syslog":
        from tiffin.logs.syslog import SyslogDriver
        from tiffin.logs.syslog_options import parse_syslog

        return SyslogDriver(parse_syslog(options), source.tag)
    if driver == "fluentd":
        from tiffin.logs.fluentd import FluentdDriver
        from tiffin.logs.fluentd_options import parse_fluentd

        return FluentdDriver(parse_fluentd(options), source)
    if driver == "gelf":
        from tiffin.logs.gelf import GelfDriver
        from tiffin.logs.gelf_options import parse_gelf

        return GelfDriver(parse_gelf(options), source)
    raise ValueError(f"logger: no log driver named '{driver}' is registered")
