"""Seccomp programs by profile, compiled once.

A program is kept in a directory under the digest of its profile, so that a fresh process need not
compile the profile that every container uses.
"""

import hashlib
import json
import os
from pathlib import Path

from tiffin.errors import InvalidArgument
from tiffin.runtime.config import JsonObject

_FORMAT = b"1\n"  # part of the key: changes when the compiler's output does


class Programs:
    """Compiles and keeps; `directory` None keeps in memory only."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._known: dict[str, bytes] = {}

    def program(self, profile: JsonObject | None) -> bytes:
        """Return the filter of an OCI `linux.seccomp` object; b"" for none. InvalidArgument."""
        if not profile:
            return b""
        text = json.dumps(profile, sort_keys=True, separators=(",", ":")).encode()
        machine = os.uname().machine.encode()
        key = hashlib.sha256(_FORMAT + machine + text).hexdigest()
        if key not in self._known:
            self._known[key] = self._load(key) or self._compile(key, profile)
        return self._known[key]

    def _load(self, key: str) -> bytes:
        if self._directory is None:
            return b""
        try:
            return (self._directory / f"{key}.bpf").read_bytes()
        except FileNotFoundError:
            return b""

    def _compile(self, key: str, profile: JsonObject) -> bytes:
        from tiffin.linux import seccomp  # tables of some size, needed once per profile

        try:
            program = seccomp.compile_profile(profile)
        except ValueError as error:
            raise InvalidArgument(f"linux.seccomp: {error}") from None
        if self._directory is not None:
            self._directory.mkdir(parents=True, exist_ok=True)
            fresh = self._directory / f".{key}.{os.getpid()}"
            fresh.write_bytes(program)
            fresh.rename(self._directory / f"{key}.bpf")
        return program
