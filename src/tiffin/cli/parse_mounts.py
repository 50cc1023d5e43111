"""`--mount`, `--tmpfs` and `-v` texts → what the API takes."""

import csv
import os
from typing import Any

from tiffin.cli.flags import parse_bool, parse_size

Mount = dict[str, Any]


def parse_mount(text: str) -> Mount:
    """Return one API Mount of a `--mount` value; ValueError with Docker's wording."""
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise ValueError(str(error)) from error
    mount: Mount = {"Type": "volume", "Target": ""}
    for item in fields:
        _set(mount, item)
    kind = mount["Type"]
    if not mount["Target"]:
        raise ValueError("target is required")
    for option, owner in (("VolumeOptions", "volume"), ("BindOptions", "bind"),
                          ("TmpfsOptions", "tmpfs"), ("ImageOptions", "image")):  # fmt: skip
        if option in mount and kind != owner:
            raise ValueError(f"cannot mix '{owner}-*' options with mount type '{kind}'")
    return mount


def _set(mount: Mount, item: str) -> None:
    key, equals, value = item.partition("=")
    key = key.strip().lower()
    if not equals and key not in ("readonly", "ro", "volume-nocopy", "bind-nonrecursive",
                                  "bind-create-src", "bind-idmap"):  # fmt: skip
        raise ValueError(f"invalid field '{item}' must be a key=value pair")
    if key == "type":
        mount["Type"] = value.lower()
    elif key in ("source", "src"):
        relative = value.startswith(".") and (value in (".", "..") or "/" in value)
        mount["Source"] = os.path.abspath(value) if relative else value  # noqa: PTH100
    elif key in ("target", "dst", "destination"):
        mount["Target"] = value
    elif key in ("readonly", "ro"):
        mount["ReadOnly"] = _boolean(key, value, given=bool(equals))
    elif key == "consistency":
        mount["Consistency"] = value.lower()
    else:
        _set_option(mount, key, value, given=bool(equals))


def _set_option(mount: Mount, key: str, value: str, *, given: bool) -> None:
    owner = key.partition("-")[0]
    if owner == "bind":
        _set_bind(mount.setdefault("BindOptions", {}), key, value, given=given)
    elif owner == "volume":
        _set_volume(mount.setdefault("VolumeOptions", {}), key, value, given=given)
    elif key == "image-subpath":
        mount.setdefault("ImageOptions", {})["Subpath"] = value
    elif key == "tmpfs-size":
        mount.setdefault("TmpfsOptions", {})["SizeBytes"] = _named(key, value, parse_size)
    elif key == "tmpfs-mode":
        octal = _named(key, value, lambda text: int(text, 8))
        mount.setdefault("TmpfsOptions", {})["Mode"] = octal
    else:
        raise ValueError(f"unexpected key '{key}' in '{key}={value}'")


def _set_bind(options: Mount, key: str, value: str, *, given: bool) -> None:
    if key == "bind-propagation":
        options["Propagation"] = value.lower()
    elif key == "bind-nonrecursive":
        options["NonRecursive"] = _boolean(key, value, given=given)
    elif key == "bind-create-src":
        options["CreateMountpoint"] = _boolean(key, value, given=given)
    elif key == "bind-idmap":
        options["IdMap"] = value
    elif key == "bind-recursive":
        options.update(_recursive(value))
    else:
        raise ValueError(f"unexpected key '{key}' in '{key}={value}'")


def _set_volume(options: Mount, key: str, value: str, *, given: bool) -> None:
    name, _, setting = value.partition("=")
    driver = (
        options.setdefault("DriverConfig", {}) if key in ("volume-driver", "volume-opt") else {}
    )
    if key == "volume-nocopy":
        options["NoCopy"] = _boolean(key, value, given=given)
    elif key == "volume-subpath":
        options["Subpath"] = value
    elif key == "volume-label":
        options.setdefault("Labels", {})[name] = setting
    elif key == "volume-driver":
        driver["Name"] = value
    elif key == "volume-opt":
        driver.setdefault("Options", {})[name] = setting
    else:
        raise ValueError(f"unexpected key '{key}' in '{key}={value}'")


def _recursive(value: str) -> dict[str, Any]:
    choices: dict[str, dict[str, Any]] = {
        "enabled": {},
        "disabled": {"NonRecursive": True},
        "writable": {"ReadOnlyNonRecursive": True},
        "readonly": {"ReadOnlyForceRecursive": True},
    }
    if value not in choices:
        raise ValueError(
            f'invalid value for bind-recursive: {value} (must be "enabled", "disabled", "writable", '
            'or "readonly")'
        )
    return choices[value]


def _boolean(key: str, value: str, *, given: bool) -> bool:
    if not given:
        return True
    try:
        return parse_bool(value)
    except ValueError:
        raise ValueError(f"invalid value for {key}: {value}") from None


def _named(key: str, value: str, parse: Any) -> int:  # noqa: ANN401  # any parser of a number
    try:
        return int(parse(value))
    except ValueError:
        raise ValueError(f"invalid value for {key}: {value}") from None


def parse_volumes(texts: list[str]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """Return `(Binds, Volumes)`: `a:b` texts and lone container paths; host paths made absolute."""
    binds: list[str] = []
    volumes: dict[str, dict[str, str]] = {}
    for text in texts:
        source, colon, rest = text.partition(":")
        if not colon:
            volumes[text] = {}
        elif source.startswith((".", "~")):
            binds.append(f"{os.path.abspath(os.path.expanduser(source))}:{rest}")  # noqa: PTH100, PTH111
        else:
            binds.append(text)
    return binds, volumes


def parse_tmpfs(texts: list[str]) -> dict[str, str]:
    """Return `{path: options}`."""
    pairs = (text.partition(":") for text in texts)
    return {path: options for path, _, options in pairs}
