"""Command line and environment of a container's first process, and of execs."""

from collections.abc import Iterable, Sequence

from tiffin.api.types.containers import Config

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def command_line(config: Config) -> list[str]:
    """Return entrypoint and command in one; the configuration is merged with the image's."""
    return [*words(config.entrypoint), *words(config.cmd)]


def words(value: list[str] | str | None) -> list[str]:
    """Return a command that may have come as a single string, as Docker's StrSlice does."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def environment(
    configured: Iterable[str], *, hostname: str, terminal: bool, home: str
) -> list[str]:
    """Return `KEY=value` lines: the engine's own, overridden by what is configured.

    A configured `KEY` without `=` removes the variable; HOME is set if it would be missing or empty.
    """
    base = [f"PATH={DEFAULT_PATH}"]
    if hostname:
        base.append(f"HOSTNAME={hostname}")
    if terminal:
        base.append("TERM=xterm")
    merged = override(base, configured)
    if any(item.startswith("HOME=") and item != "HOME=" for item in merged):
        return merged
    return override(merged, [f"HOME={home}"])


def override(base: Sequence[str], changes: Iterable[str]) -> list[str]:
    """Return `base` with variables replaced in place, appended or (without `=`) removed."""
    variables = {item.partition("=")[0]: item for item in base}
    for item in changes:
        name, assigned, _ = item.partition("=")
        if assigned:
            variables[name] = item
        else:
            variables.pop(name, None)
    return list(variables.values())
