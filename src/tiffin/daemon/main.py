"""`tiffind`: parse, bind, serve.

Only what parsing needs is imported at the top, so that `--help`, `--version` and faults are quick,
and the sockets are bound before the engine is imported: clients may connect while it loads.
"""

import logging
import os
import sys
from collections.abc import Sequence

from tiffin.daemon.introspection import defer_inspect

defer_inspect()  # before anything imports dataclasses

from tiffin import __version__  # noqa: E402
from tiffin.daemon import flags  # noqa: E402
from tiffin.errors import InvalidArgument, TiffinError  # noqa: E402

log = logging.getLogger("tiffin.daemon")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon until it is told to stop; return its exit status."""
    try:
        values = flags.parse(sys.argv[1:] if arguments is None else arguments)
    except InvalidArgument as error:
        print(f"{error}\nSee 'tiffind --help'.", file=sys.stderr)  # noqa: T201
        return 125
    if values.get("help"):
        print(flags.usage())  # noqa: T201
        return 0
    if values.get("version"):
        print(f"Tiffin version {__version__}")  # noqa: T201
        return 0
    return _run(values)


def _run(values: dict[str, object]) -> int:
    from tiffin.daemon import config as configuration
    from tiffin.daemon.logging import set_up

    try:
        config = configuration.load({k: v for k, v in values.items() if k != "validate"})
    except TiffinError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    if values.get("validate"):
        print("configuration OK")  # noqa: T201
        return 0
    set_up(config.log_level, config.log_format)
    for warning in config.warnings:
        log.warning(warning)
    if os.geteuid() != 0:
        log.error("the daemon needs to run as root")
        return 1
    os.umask(0o022)
    try:
        _serve(config, values)
    except (TiffinError, OSError) as error:
        log.critical("failed to start daemon: %s", error, exc_info=error if config.debug else None)
        return 1
    return 0


def _serve(config, values) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    from tiffin.daemon.instance import only_instance, pid_file
    from tiffin.daemon.sockets import listening

    with pid_file(config.pidfile), only_instance(config.roots), listening(config) as listeners:
        from tiffin.daemon.heaps import share_heaps
        from tiffin.daemon.lean import import_engine, import_server

        share_heaps()
        import_server()
        import_engine()
        import asyncio

        from tiffin.daemon.service import serve

        asyncio.run(serve(config, values, listeners))


if __name__ == "__main__":
    sys.exit(main())
