"""Which class is behind a log driver's name, and where it keeps its file.

`local` keeps the same records as `json-file` and differs in its defaults only (compressed). Drivers
that send logs elsewhere keep a copy, so that `docker logs` works with them too.
"""

from collections.abc import Mapping
from pathlib import Path

from tiffin.errors import FailedPrecondition
from tiffin.logs import options as log_options
from tiffin.logs.driver import LogDriver, LogReader
from tiffin.logs.json_file import open_driver
from tiffin.logs.none import NoneDriver
from tiffin.logs.options import FILE_DRIVERS, REMOTE_DRIVERS

DEFAULT_DRIVER = "json-file"
_FILES = {"json-file": "json.log", "local": "local.log"}
_COPY = "cached.log"


def validate(driver: str, options: Mapping[str, str]) -> None:
    """Raise InvalidArgument in Docker's words for an unknown driver or a bad option."""
    log_options.validate(driver, options)


def is_remote(driver: str) -> bool:
    """Whether the driver sends logs elsewhere (`remote.py`)."""
    return driver in REMOTE_DRIVERS


def log_file(driver: str, directory: Path, options: Mapping[str, str] | None = None) -> Path | None:
    """Return the file in a container's log directory that can be read back, None if it has none."""
    if is_remote(driver):
        return directory / _COPY if log_options.has_cache(options or {}) else None
    name = _FILES.get(driver)
    return directory / name if name else None


def writer(
    driver: str,
    directory: Path,
    options: Mapping[str, str],
    attributes: Mapping[str, str] | None = None,
) -> LogDriver:
    """Open the log (or the copy) for writing; OSError if that fails, InvalidArgument."""
    log_options.validate(driver, options)
    path = log_file(driver, directory, options)
    if path is None:
        return NoneDriver()
    is_file = driver in FILE_DRIVERS
    parsed = log_options.parse(driver, options) if is_file else log_options.cache(options)
    directory.mkdir(mode=0o710, parents=True, exist_ok=True)
    return open_driver(
        path,
        max_size=parsed.max_size,
        max_files=parsed.max_files,
        compress=parsed.compress,
        attributes=dict(attributes or {}),
    )


def reader(driver: str, directory: Path, options: Mapping[str, str] | None = None) -> LogReader:
    """Return the reader of a container's log; FailedPrecondition if nothing of it is kept here."""
    path = log_file(driver, directory, options)
    if path is None:
        raise FailedPrecondition("configured logging driver does not support reading")
    # The reader is not needed in the shim, which imports this module for `writer`.
    from tiffin.logs.json_reader import JsonFileReader

    return JsonFileReader(path)


def cannot_start(reason: str) -> FailedPrecondition:
    """Return the error of a container whose log driver cannot begin."""
    return FailedPrecondition(
        f"failed to create task for container: failed to initialize logging driver: {reason}"
    )


def remove(driver: str, directory: Path) -> None:
    """Unlink the log and its rotated files; succeeds if there are none."""
    path = log_file(driver, directory)
    if path is not None and directory.is_dir():
        for found in directory.glob(f"{path.name}*"):
            found.unlink(missing_ok=True)
