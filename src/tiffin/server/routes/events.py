"""`GET /events`: what happens, as it happens."""

import re
import time
from typing import Protocol

from aiohttp import web

from tiffin.api.filters import Filters
from tiffin.api.types.system import Actor, EventMessage
from tiffin.engine.containers.times import parse_time
from tiffin.engine.event_filter import ALLOWED
from tiffin.engine.events import Event, Subscription
from tiffin.server import query
from tiffin.server.routing import Route
from tiffin.server.stream import JsonLines

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9,
             "h": 3600 * 10**9}  # fmt: skip
_WITH_STATUS = frozenset({"container", "image"})


class EventSource(Protocol):
    """What the route needs of the engine."""

    def events(
        self, filters: Filters, *, since_ns: int | None = None, until_ns: int | None = None
    ) -> Subscription:
        """Listen to what happens."""


def routes(source: EventSource) -> list[Route]:
    """Return the route."""

    async def events(request: web.Request) -> web.StreamResponse:
        subscription = source.events(
            query.filters(request).validate(ALLOWED),
            since_ns=moment_ns(request.query.get("since", "")),
            until_ns=moment_ns(request.query.get("until", "")),
        )
        with subscription:
            # Subscribed first: whoever has seen our headers misses nothing.
            async with JsonLines(request) as out:
                async for event in subscription:
                    await out.write(message(event))
        return out.response

    return [Route("GET", "/events", events)]


def moment_ns(text: str) -> int | None:
    """Return Unix ns of a Unix time, RFC 3339, or a Go duration before now; InvalidArgument."""
    if not text:
        return None
    if _DURATION.fullmatch(text):
        ago = sum(float(count) * _UNITS_NS[unit] for count, unit in _PART.findall(text))
        return time.time_ns() - int(ago)
    return parse_time(text)


def message(event: Event) -> EventMessage:
    """Render an event, with the members of old clients where those have always been."""
    rendered = EventMessage(
        kind=event.kind,
        action=event.action,
        actor=Actor(id=event.actor, attributes=dict(event.attributes)),
        scope=event.scope,
        time=event.time_ns // 10**9,
        time_ns=event.time_ns,
    )
    if event.kind in _WITH_STATUS:
        rendered.status, rendered.id = event.action, event.actor
    if event.kind == "container":
        rendered.origin = event.attributes.get("image", "")
    return rendered
