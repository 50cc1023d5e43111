"""Syslog messages: RFC 3164 and RFC 5424, written as Docker writes them."""

import time
from dataclasses import dataclass

from tiffin.logs.messages import Message
from tiffin.logs.syslog_options import SyslogFormat

_ERR, _INFO = 3, 6
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class SyslogWriter:
    """What does not change from message to message."""

    format: SyslogFormat
    facility: int
    hostname: str
    tag: str
    pid: int
    counted: bool = False
    """Whether each message's length goes before it (RFC 5425)."""

    def write(self, message: Message) -> bytes:
        """Return the message as it goes over the wire, with a newline at its end."""
        severity = _ERR if message.stream == "stderr" else _INFO
        head = f"<{self.facility << 3 | severity}>{self._head(message.time_ns)}".encode()
        data = head + message.line + b"\n"
        return b"%d %s" % (len(data), data) if self.counted else data

    def _head(self, time_ns: int) -> str:
        if self.format in (SyslogFormat.RFC5424, SyslogFormat.RFC5424_MICRO):
            micro = self.format is SyslogFormat.RFC5424_MICRO
            stamp = zoned_time(time_ns, micro=micro)
            return f"1 {stamp} {self.hostname} {self.tag} {self.pid} {self.tag} - "
        host = f"{self.hostname} " if self.format is SyslogFormat.RFC3164 else ""
        return f"{_stamp(time_ns)} {host}{self.tag}[{self.pid}]: "


def _stamp(time_ns: int) -> str:
    local = time.localtime(time_ns // 1_000_000_000)
    clock = time.strftime("%H:%M:%S", local)
    return f"{_MONTHS[local.tm_mon - 1]} {local.tm_mday:2} {clock}"


def zoned_time(time_ns: int, *, micro: bool = False) -> str:
    """Return RFC 3339 in the local zone, with microseconds if wanted."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    local = time.localtime(seconds)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", local)
    if micro:
        stamp += f".{fraction // 1000:06d}"
    offset = local.tm_gmtoff // 60
    if not offset:
        return stamp + "Z"
    return f"{stamp}{'+' if offset > 0 else '-'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
