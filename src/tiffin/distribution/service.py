"""Serving a registry from start to graceful end, and collecting the garbage of one that is not served."""

import asyncio
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import Any

from aiohttp import web

from tiffin.distribution import control
from tiffin.distribution.config import Config
from tiffin.distribution.garbage import Collected, Retention
from tiffin.distribution.tls import reload_certificate, server_context
from tiffin.distribution.wiring import Registry, application, registry
from tiffin.errors import InvalidArgument, TiffinError
from tiffin.fs.locks import locked

log = logging.getLogger("tiffin.registry")
_READ_BUFFER = 1 << 19
_BACKLOG = 1024


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT; TiffinError, OSError."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    asyncio.run(_serve(config))


async def _serve(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(config) as addresses:
        for address in addresses:
            log.info("serving the registry %s at %s", config.root, address)
        await stop.wait()
        log.info("stopping: requests under way have %g s", config.shutdown_timeout_s)


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[list[str]]:
    """Serve meanwhile; yield the base URLs. TiffinError, OSError."""
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(opened(config))
        app = application(config, parts)
        runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            read_bufsize=_READ_BUFFER,
            shutdown_timeout=config.shutdown_timeout_s,
            handler_cancellation=False,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        addresses = await _listen(config, runner)
        controller = control.Controller(
            lambda keep, dry_run: _collect(parts, keep, dry_run=dry_run), config.retention
        )
        await stack.enter_async_context(controller.listening(config.root))
        collecting = asyncio.create_task(_collect_regularly(config, parts))
        stack.push_async_callback(_cancel, collecting)
        yield addresses


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Registry]:
    """Hold the registry's root and open its storage; InvalidArgument if another process holds it."""
    config.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        lock = locked(config.root / "lock", wait=False)
        with lock:
            parts = registry(config)
            await parts.driver.open()
            try:
                yield parts
            finally:
                await parts.driver.close()
    except BlockingIOError:
        raise InvalidArgument(f"{config.root} is used by another registry") from None


async def collect(config: Config, keep: Retention, *, dry_run: bool = False) -> dict[str, Any]:
    """Collect garbage, by the server if one is running on this root; return the counts."""
    answer = await control.ask(config.root, keep, dry_run=dry_run)
    if answer is not None:
        return answer
    async with opened(config) as parts:
        return asdict(await parts.collector.collect(keep, dry_run=dry_run))


async def _collect(parts: Registry, keep: Retention, *, dry_run: bool = False) -> Collected:
    found = await parts.collector.collect(keep, dry_run=dry_run)
    if not dry_run:
        parts.metrics.count("gc_runs_total")
        parts.metrics.count("gc_blobs_removed_total", found.blobs)
        parts.metrics.count("gc_bytes_removed_total", found.bytes)
        parts.metrics.set("gc_last_duration_seconds", found.seconds)
    return found


async def _collect_regularly(config: Config, parts: Registry) -> None:
    if config.gc_interval_s <= 0 or config.read_only:
        return
    while True:
        await asyncio.sleep(config.gc_interval_s)
        try:
            found = await _collect(parts, config.retention)
            log.info("collected %d blobs, %d bytes", found.blobs, found.bytes)
        except (TiffinError, OSError) as error:
            log.error("collecting garbage failed: %s", error)
        except Exception:
            log.exception("collecting garbage failed")


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _listen(config: Config, runner: web.AppRunner) -> list[str]:
    context = server_context(config.tls) if config.tls else None
    if config.tls is not None and context is not None:
        tls, loaded = config.tls, context

        def reload() -> None:
            try:
                reload_certificate(loaded, tls)
                log.info("read the certificate again")
            except InvalidArgument as error:
                log.error("keeping the old certificate: %s", error)

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    scheme = "https" if context else "http"
    for text in config.listen:
        host, port = parse_address(text)
        site = web.TCPSite(
            runner, host or None, port, ssl_context=context, backlog=_BACKLOG, reuse_address=True
        )
        await site.start()
    _warn(config)
    return [f"{scheme}://{_shown(listener)}" for listener in runner.addresses]


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `host:port`, `:port` or `[::1]:port`; InvalidArgument."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise InvalidArgument(f"invalid address {text!r}: write host:port or :port")
    return host.strip("[]"), int(port)


def _shown(address: tuple[Any, ...]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _warn(config: Config) -> None:
    exposed = [text for text in config.listen if not is_loopback(parse_address(text)[0])]
    if not exposed:
        return
    if not config.is_guarded and not config.read_only and config.mirror is None:
        log.warning("%s: everybody who can connect may push and delete", exposed[0])
    if config.tls is None and config.is_guarded:
        log.warning("%s: passwords and tokens are sent without encryption", exposed[0])


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can connect to an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        try:
            found = socket.getaddrinfo(host, None) if host else []
        except OSError:
            return False
        return bool(found) and all(
            ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found
        )
