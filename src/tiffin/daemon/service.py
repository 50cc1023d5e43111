"""The running daemon: engine up, serve, reload on SIGHUP, leave on SIGTERM.

Containers are not stopped: their shims hold them, and the next daemon finds them.
"""

import asyncio
import contextlib
import dataclasses
import gc
import logging
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from tiffin.daemon import config as configuration
from tiffin.daemon.config import Config
from tiffin.daemon.heaps import give_back
from tiffin.daemon.logging import set_level
from tiffin.daemon.notify import notify
from tiffin.daemon.rest import Rest
from tiffin.daemon.sockets import Listener, tls_context
from tiffin.daemon.wiring import Engine, running_engine
from tiffin.errors import TiffinError
from tiffin.server.app import application, runner

log = logging.getLogger(__name__)


async def serve(config: Config, flags: Mapping[str, Any], listeners: Sequence[Listener]) -> None:
    """Run until SIGTERM or SIGINT; a second one ends the process at once."""
    # Faults in the files are told before anything is started.
    context = tls_context(config.tls) if config.tls else None
    async with running_engine(config) as engine:
        _allow_many_files()
        app = application(engine.routes)
        app.on_response_prepare.append(Rest(give_back).notice)
        api = runner(app)
        await api.setup()
        try:
            async with _accepting(api.server, listeners, context):
                give_back()
                gc.freeze()
                notify("READY=1")
                log.info("Daemon has completed initialization")
                await _until_told_to_stop(lambda: _reload(config, flags, engine))
                notify("STOPPING=1")
        finally:
            await api.cleanup()
    log.info("Daemon shutdown complete")


@contextlib.asynccontextmanager
async def _accepting(
    factory: Any,  # noqa: ANN401  # aiohttp's server
    listeners: Sequence[Listener],
    context: Any,  # noqa: ANN401  # ssl is not imported unless it is needed
) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    servers: list[asyncio.Server] = []
    try:
        for listener in listeners:
            make = _secured(factory, context) if listener.secure else factory
            servers.append(await loop.create_server(make, sock=listener.socket))
            log.info("API listen on %s", listener.host)
        yield
    finally:
        for server in servers:
            server.close()


def _secured(factory: Any, context: Any) -> Callable[[], Any]:  # noqa: ANN401  # as above
    from tiffin.server.tls import TlsProtocol

    return lambda: TlsProtocol(context, factory)


async def _until_told_to_stop(reload: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def stopping(number: signal.Signals) -> None:
        if stop.is_set():
            log.warning("forced to leave at once")
            os._exit(1)
        log.info("Processing signal '%s'", signal.strsignal(number))
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping, number)
    loop.add_signal_handler(signal.SIGHUP, reload)
    await stop.wait()


def _reload(config: Config, flags: Mapping[str, Any], engine: Engine) -> None:
    """Apply what may change in a running daemon; a faulty file changes nothing."""
    notify("RELOADING=1")
    try:
        fresh = configuration.load({k: v for k, v in flags.items() if k != "validate"})
    except TiffinError as error:
        log.error("could not reload the configuration: %s", error)
    else:
        changed = dataclasses.replace(
            config,
            debug=fresh.debug,
            log_level=fresh.log_level,
            labels=fresh.labels,
            registry=fresh.registry,
            containers=dataclasses.replace(
                config.containers,
                runtime=fresh.containers.runtime,
                runtimes=fresh.containers.runtimes,
            ),
        )
        set_level(changed.log_level)
        engine.reconfigure(changed)
        log.info("Reloaded configuration", extra={"file": str(config.file)})
    notify("READY=1")


def _allow_many_files() -> None:
    # After the spawner has been started: containers inherit its limit, not ours.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
