"""Signal names as clients write them: `KILL`, `SIGKILL`, `9`, `RTMIN+3`."""

import signal

from tiffin.errors import InvalidArgument

_REAL_TIME = {"RTMIN": 34, "RTMAX": 64}
"""As Docker counts them: the kernel's 32 and 33 belong to the C library."""
_NAMES = {
    member.name.removeprefix("SIG"): int(member)
    for member in signal.Signals
    if not member.name.startswith("SIGRT")
} | {"CLD": 17, "IOT": 6, "POLL": 29, "UNUSED": 31, "STKFLT": 16}


def parse_signal(text: str) -> int:
    """Return the number; InvalidArgument quotes what is no signal."""
    name = text.strip().upper()
    if name.isascii() and name.isdigit():
        number = int(name[:6])
        if 1 <= number <= _REAL_TIME["RTMAX"]:
            return number
        raise InvalidArgument(f"invalid signal: {text}")
    name = name.removeprefix("SIG")
    if name in _NAMES:
        return _NAMES[name]
    return _real_time(name, text)


def _real_time(name: str, text: str) -> int:
    for base, start in _REAL_TIME.items():
        offset = name.removeprefix(base)
        if offset == name:
            continue
        if not offset:
            return start
        if offset[0] == ("+" if base == "RTMIN" else "-") and offset[1:].isdigit():
            number = start + int(offset[:4])
            if _REAL_TIME["RTMIN"] <= number <= _REAL_TIME["RTMAX"]:
                return number
    raise InvalidArgument(f"invalid signal: {text}")
