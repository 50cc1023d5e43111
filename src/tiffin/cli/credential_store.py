"""Where a registry's credentials are kept: in `config.json`, or by a helper program.

Helpers are programs `docker-credential-NAME` that speak Docker's credential helper protocol: a verb
as argument (`get`, `store`, `erase`, `list`), JSON or an address on standard input and output.
"""

import base64
import json
import os
import shutil
import sys
from typing import Any, NamedTuple, Protocol

from tiffin.cli.command import CommandFailed

TOKEN_USER = "<token>"
UNENCRYPTED = """
WARNING! Your credentials are stored unencrypted in '{path}'.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/
"""
Config = dict[str, Any]


class Login(NamedTuple):
    """Credentials of one registry; `token` is an identity token instead of a password."""

    server: str
    user: str = ""
    password: str = ""
    token: str = ""

    def to_api(self) -> dict[str, str]:
        """Return the API's AuthConfig, without empty members."""
        members = {"username": self.user, "password": self.password,
                   "serveraddress": self.server, "identitytoken": self.token}  # fmt: skip
        return {key: value for key, value in members.items() if value}


class Store(Protocol):
    """One place that keeps credentials. Changes of the configuration are the caller's to save."""

    def get(self, server: str) -> Login | None:
        """Return what is kept for a server, None if nothing is; CommandFailed."""

    def put(self, login: Login) -> None:
        """Keep credentials; CommandFailed."""

    def erase(self, server: str) -> None:
        """Forget a server; CommandFailed."""

    def servers(self) -> list[str]:
        """Return for whom there are credentials; CommandFailed."""


def store_for(config: Config, server: str) -> Store:
    """Return the store that the configuration names for a server."""
    helper = config.get("credHelpers", {}).get(server) or config.get("credsStore")
    return HelperStore(config, str(helper)) if helper else FileStore(config)


def detect_helper(config: Config) -> None:
    """Name the system's usual helper in a configuration that holds no credentials yet."""
    if config.get("credsStore") or config.get("credHelpers") or config.get("auths"):
        return
    name = "pass" if shutil.which("pass") else "secretservice"
    if shutil.which(f"docker-credential-{name}"):
        config["credsStore"] = name


def host_of(server: str) -> str:
    """Return the host that an address such as `https://host/v1/` is about."""
    return server.removeprefix("https://").removeprefix("http://").partition("/")[0]


class FileStore:
    """The `auths` of `config.json`."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def get(self, server: str) -> Login | None:
        """Return the server's entry, or one for the same host."""
        auths = self._config.get("auths") or {}
        entry = auths.get(server)
        if entry is None:
            host = host_of(server)
            entry = next((auths[each] for each in auths if host_of(each) == host), None)
        if not isinstance(entry, dict):
            return None
        user, password = str(entry.get("username", "")), str(entry.get("password", ""))
        if packed := entry.get("auth"):
            user, password = unpack(packed)
        login = Login(server, user, password, str(entry.get("identitytoken", "")))
        return login if any(login[1:]) else None

    def put(self, login: Login) -> None:
        """Keep it, unencrypted: of a token, only that."""
        password = "" if login.token else login.password
        pair = f"{login.user}:{password}"
        entry = {"auth": base64.b64encode(pair.encode()).decode()}
        if login.token:
            entry["identitytoken"] = login.token
        self._config.setdefault("auths", {})[login.server] = entry

    def erase(self, server: str) -> None:
        """Forget the entry of that very name."""
        (self._config.get("auths") or {}).pop(server, None)

    def servers(self) -> list[str]:
        """Return all entries' names."""
        return list(self._config.get("auths") or {})


class HelperStore:
    """A helper program; `config.json` remembers that there is something."""

    def __init__(self, config: Config, name: str) -> None:
        self._config = config
        self._program = f"docker-credential-{name}"

    def get(self, server: str) -> Login | None:
        """Ask the helper."""
        code, answer = self._run("get", server, "getting credentials")
        if code:
            if "not found" in answer or not answer:
                return None
            raise CommandFailed(
                f"error getting credentials - err: exit status {code}, out: `{answer}`"
            )
        try:
            found = json.loads(answer)
            user, secret = str(found["Username"]), str(found["Secret"])
        except (ValueError, KeyError, TypeError) as error:
            raise CommandFailed(f"error getting credentials: {self._program}: {error}") from error
        if user == TOKEN_USER:
            return Login(server, token=secret)
        return Login(server, user, secret)

    def put(self, login: Login) -> None:
        """Hand it to the helper."""
        secret = {"ServerURL": login.server, "Username": TOKEN_USER if login.token else login.user,
                  "Secret": login.token or login.password}  # fmt: skip
        code, answer = self._run("store", json.dumps(secret), "storing credentials")
        if code:
            raise CommandFailed(
                f"error storing credentials - err: exit status {code}, out: `{answer}`"
            )
        self._config.setdefault("auths", {})[login.server] = {}

    def erase(self, server: str) -> None:
        """Have the helper forget it."""
        code, answer = self._run("erase", server, "erasing credentials")
        if code and "not found" not in answer:
            raise CommandFailed(
                f"error erasing credentials - err: exit status {code}, out: `{answer}`"
            )
        (self._config.get("auths") or {}).pop(server, None)

    def servers(self) -> list[str]:
        """Return what the helper lists."""
        code, answer = self._run("list", "unused", "listing credentials")
        try:
            listed = json.loads(answer) if not code else {}
        except ValueError:
            listed = {}
        return list(listed) if isinstance(listed, dict) else []

    def _run(self, verb: str, text: str, doing: str) -> tuple[int, str]:
        import subprocess  # only users of helpers pay

        try:
            done = subprocess.run(
                [self._program, verb], input=text, stdout=subprocess.PIPE, text=True, check=False
            )
        except (FileNotFoundError, PermissionError) as error:
            found = "executable file not found in $PATH"
            raise CommandFailed(
                f'error {doing} - err: exec: "{self._program}": {found}, out: ``'
            ) from error
        return done.returncode, done.stdout.strip()


def unpack(packed: object) -> tuple[str, str]:
    """Return user and password of an `auth` member; CommandFailed."""
    try:
        user, colon, password = base64.b64decode(str(packed), validate=True).decode().partition(":")
    except ValueError as error:
        raise CommandFailed(f"invalid auth configuration file: {error}") from error
    if not colon or not user:
        raise CommandFailed("invalid auth configuration file")
    return user, password.strip("\0")


def save_login(config: Config, path: str, login: Login) -> None:
    """Keep credentials where the configuration says, warning if that is a plain file."""
    store = store_for(config, login.server)
    known = store.get(login.server) if isinstance(store, FileStore) else None
    store.put(login)
    save_config(config, path)
    if isinstance(store, FileStore) and not login.token and (known is None or known.token):
        print(UNENCRYPTED.format(path=path), file=sys.stderr)


def save_config(config: Config, path: str) -> None:
    """Replace the client's configuration (where a link leads); only its owner may read it."""
    from pathlib import Path  # dear to import: see client/contexts.py

    target = Path(path).resolve()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(dict(sorted(config.items())), file, indent="\t", ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink()
        raise
