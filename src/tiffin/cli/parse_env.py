"""Environment and label texts, with their files."""

from collections.abc import Sequence
from pathlib import Path

from tiffin.cli.containers.kinds import parse_environment
from tiffin.cli.flags import UsageError


def environment(texts: Sequence[str], files: Sequence[str]) -> list[str]:
    """Return `K=V` entries: those of files first, then `texts` as they were parsed."""
    entries: list[str] = []
    for path in files:
        entries.extend(parse_environment(line) for line in _lines(path, "env"))
    entries.extend(texts)
    return [entry for entry in entries if entry]


def labels(texts: Sequence[str], files: Sequence[str]) -> dict[str, str]:
    """Return labels of files and flags, later ones winning."""
    found: dict[str, str] = {}
    for text in [line for path in files for line in _lines(path, "label")] + list(texts):
        key, _, value = text.partition("=")
        found[key] = value
    return found


def key_values(texts: Sequence[str]) -> dict[str, str]:
    """Return a dict of `K=V` texts; a bare `K` has an empty value."""
    pairs = (text.partition("=") for text in texts)
    return {key: value for key, _, value in pairs}


def _lines(path: str, what: str) -> list[str]:
    try:
        content = Path(path).read_text(encoding="utf-8-sig")
    except IsADirectoryError:
        raise UsageError(f"invalid {what} file ({path}): read {path}: is a directory") from None
    except OSError as error:
        raise UsageError(f"open {path}: {(error.strerror or '').lower()}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} file {path} contains invalid utf8 bytes: {error}") from error
    kept = [line.lstrip() for line in content.splitlines()]
    kept = [line for line in kept if line and not line.startswith("#")]
    for line in kept:
        name = line.partition("=")[0]
        if not name or name != name.rstrip() or " " in name:
            raise UsageError(
                f"invalid {what} file ({path}): variable '{name}' contains whitespaces"
            )
    return kept
