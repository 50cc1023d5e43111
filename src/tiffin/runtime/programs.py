"""Seccomp programs by profile, compiled once.

A program is kept in a file together with its profile, so that a fresh process need not compile the
profile that every container uses. Files are named by a checksum and compared in full: that needs no
cryptography, whose library would be the largest thing in a shim.
"""

import binascii
import json
import os
from pathlib import Path

from tiffin.errors import InvalidArgument
from tiffin.runtime.config_reader import JsonObject

_FORMAT = 1
"""Changes when the compiler's output does."""


class Programs:
    """Compiles and keeps; `directory` None keeps in memory only."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._known: dict[bytes, bytes] = {}

    def program(self, profile: JsonObject | None) -> bytes:
        """Return the filter of an OCI `linux.seccomp` object; b"" for none. InvalidArgument."""
        if not profile:
            return b""
        made_for = [_FORMAT, os.uname().machine, profile]
        key = json.dumps(made_for, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        if key not in self._known:
            self._known[key] = self._load(key) or self._compile(key, profile)
        return self._known[key]

    def _load(self, key: bytes) -> bytes:
        if self._directory is None:
            return b""
        try:
            kept = _file(self._directory, key).read_bytes()
        except FileNotFoundError:
            return b""
        return kept[len(key) :] if kept.startswith(key) else b""

    def _compile(self, key: bytes, profile: JsonObject) -> bytes:
        from tiffin.linux import seccomp  # tables of some size, needed once per profile

        if profile.get("listenerPath") or "SCMP_ACT_NOTIFY" in json.dumps(profile):
            from tiffin.runtime import seccomp_listener  # few profiles ask an agent

            seccomp_listener.check(profile)
        try:
            program = seccomp.compile_profile(profile)
        except ValueError as error:
            raise InvalidArgument(f"linux.seccomp: {error}") from None
        if self._directory is not None:
            self._directory.mkdir(parents=True, exist_ok=True)
            file = _file(self._directory, key)
            fresh = file.with_name(f".{file.name}.{os.getpid()}")
            fresh.write_bytes(key + program)
            fresh.rename(file)
        return program


def _file(directory: Path, key: bytes) -> Path:
    return directory / f"{binascii.crc32(key):08x}.bpf"
