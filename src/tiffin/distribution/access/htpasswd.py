"""Users and their passwords in an htpasswd file: `name:bcrypt hash` per line.

Only bcrypt (`htpasswd -B`, `tiffin registry user`) is accepted. The file is read again when it
changes. A hash takes a good part of a second to compute, in a thread; what was right once is
remembered, by a keyed digest, until the file says something else.
"""

import asyncio
import hashlib
import hmac
import importlib
import os
import secrets
from pathlib import Path
from types import ModuleType

from tiffin.errors import InvalidArgument, Unimplemented
from tiffin.fs import atomic

_REMEMBERED = 10_000
_BCRYPT = ("$2a$", "$2b$", "$2x$", "$2y$")
_COST = 10
_LIMIT = 72
"""Bytes of a password that bcrypt looks at."""


class Htpasswd:
    """The users of one file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._bcrypt = _bcrypt()
        self._read_at: tuple[int, int, int] | None = None
        self._hashes: dict[str, str] = {}
        self._right: dict[bytes, None] = {}
        self._key = secrets.token_bytes(32)
        self._nobody = ""
        self._load()

    async def check(self, user: str, password: str) -> bool:
        """Tell whether that is the user's password."""
        self._load()
        stored = self._hashes.get(user, "")
        secret = password.encode()[:_LIMIT]
        proof = hmac.new(
            self._key, b"\0".join((user.encode(), stored.encode(), secret)), hashlib.sha256
        ).digest()
        if stored and proof in self._right:
            return True
        # An unknown user must take as long as a wrong password.
        good = await asyncio.to_thread(self._compare, secret, stored or self._nobody_hash())
        if not stored or not good:
            return False
        self._right[proof] = None
        if len(self._right) > _REMEMBERED:
            del self._right[next(iter(self._right))]
        return True

    def fingerprint(self, user: str) -> str:
        """Return a text that changes with the user's password; "" for an unknown user."""
        self._load()
        stored = self._hashes.get(user, "")
        return hashlib.sha256(stored.encode()).hexdigest()[:16] if stored else ""

    def _compare(self, secret: bytes, stored: str) -> bool:
        try:
            return bool(self._bcrypt.checkpw(secret, stored.encode()))
        except ValueError:
            return False  # a hash that was damaged by hand fits nothing

    def _nobody_hash(self) -> str:
        if not self._nobody:
            salt = self._bcrypt.gensalt(_COST)
            self._nobody = self._bcrypt.hashpw(secrets.token_bytes(16), salt).decode()
        return self._nobody

    def _load(self) -> None:
        try:
            status = self._file.stat()
            seen = status.st_mtime_ns, status.st_size, status.st_ino
            if seen == self._read_at:
                return
            self._hashes = parse_htpasswd(self._file.read_text())
        except (OSError, UnicodeDecodeError) as error:
            if self._read_at is None:
                raise InvalidArgument(f"cannot read the htpasswd file: {error}") from error
            return  # being replaced; what was read last counts until it is back
        self._right.clear()
        self._read_at = seen


def parse_htpasswd(text: str) -> dict[str, str]:
    """Return hashes by user; InvalidArgument names the line."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        user, separator, stored = line.strip().partition(":")
        if not separator or not user:
            raise InvalidArgument(f"htpasswd, line {number}: not of the form name:hash")
        if not stored.startswith(_BCRYPT):
            raise InvalidArgument(
                f"htpasswd, line {number}: the hash of {user!r} is not bcrypt",
                hint="use htpasswd -B or tiffin registry user",
            )
        found[user] = stored
    return found


def set_password(file: Path, user: str, password: str | None) -> None:
    """Add or change a user, remove it if `password` is None; InvalidArgument, OSError."""
    if not user or set(user) & set(":\r\n\0") or user != user.strip():
        raise InvalidArgument(f"invalid user name {user!r}")
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        lines = []
    kept = [line for line in lines if line.strip().partition(":")[0] != user]
    if password is None:
        if len(kept) == len(lines):
            raise InvalidArgument(f"there is no user {user!r}")
    else:
        if not password:
            raise InvalidArgument("the password is empty")
        bcrypt = _bcrypt()
        hashed = bcrypt.hashpw(password.encode()[:_LIMIT], bcrypt.gensalt(_COST)).decode()
        kept.append(f"{user}:{hashed.replace('$2b$', '$2y$', 1)}")
    mode = os.stat(file).st_mode & 0o777 if file.exists() else 0o600
    atomic.write(file.absolute(), "".join(f"{line}\n" for line in kept).encode(), mode=mode)


def _bcrypt() -> ModuleType:
    try:
        return importlib.import_module("bcrypt")
    except ImportError:
        raise Unimplemented(
            "passwords need the package bcrypt", hint="pip install 'tiffin[registry]'"
        ) from None
