"""Which class is behind a log driver's name, and where it keeps its file.

`local` keeps the same records as `json-file` and differs in its defaults only (compressed).
"""

from collections.abc import Mapping
from pathlib import Path

from tiffin.errors import FailedPrecondition
from tiffin.logs import options as log_options
from tiffin.logs.driver import LogDriver, LogReader
from tiffin.logs.json_file import open_driver
from tiffin.logs.none import NoneDriver

DEFAULT_DRIVER = "json-file"
_FILES = {"json-file": "json.log", "local": "local.log"}


def validate(driver: str, options: Mapping[str, str]) -> None:
    """Raise InvalidArgument in Docker's words for an unknown driver or a bad option."""
    log_options.validate(driver, options)


def log_file(driver: str, directory: Path) -> Path | None:
    """Return the file that the driver writes in a container's log directory, None if it has none.

    `LogPath` of an inspected container.
    """
    name = _FILES.get(driver)
    return directory / name if name else None


def writer(
    driver: str,
    directory: Path,
    options: Mapping[str, str],
    attributes: Mapping[str, str] | None = None,
) -> LogDriver:
    """Open the log for writing; OSError if that fails, InvalidArgument for bad options."""
    log_options.validate(driver, options)
    path = log_file(driver, directory)
    if path is None:
        return NoneDriver()
    parsed = log_options.parse(driver, options)
    directory.mkdir(mode=0o710, parents=True, exist_ok=True)
    return open_driver(
        path,
        max_size=parsed.max_size,
        max_files=parsed.max_files,
        compress=parsed.compress,
        attributes=dict(attributes or {}),
    )


def reader(driver: str, directory: Path, options: Mapping[str, str] | None = None) -> LogReader:
    """Return the reader of a container's log; FailedPrecondition if the driver keeps nothing."""
    del options
    path = log_file(driver, directory)
    if path is None:
        raise FailedPrecondition("configured logging driver does not support reading")
    # The reader is not needed in the shim, which imports this module for `writer`.
    from tiffin.logs.json_reader import JsonFileReader

    return JsonFileReader(path)


def remove(driver: str, directory: Path) -> None:
    """Unlink the log and its rotated files; succeeds if there are none."""
    path = log_file(driver, directory)
    if path is not None and directory.is_dir():
        for found in directory.glob(f"{path.name}*"):
            found.unlink(missing_ok=True)
