"""Counters in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from collections import Counter, defaultdict
from collections.abc import Iterator

_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0)


class Metrics:
    """What happened since the start."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._sent: Counter[str] = Counter()
        self._durations: dict[str, list[int]] = {}
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._in_flight = 0
        self._events: Counter[str] = Counter()
        self._gauges: dict[str, float] = {}

    def begin(self) -> None:
        """Count a request in."""
        self._in_flight += 1

    def end(self, kind: str, method: str, status: int, seconds: float, sent: int) -> None:
        """Count an answered request out; `sent` is the length of the answer's body."""
        self._in_flight -= 1
        method = method if method in _METHODS else "OTHER"
        self._requests[kind, method, status] += 1
        self._sent[kind] += sent
        self._seconds[kind] += seconds
        buckets = self._durations.setdefault(kind, [0] * (len(_BUCKETS) + 1))
        for position, limit in enumerate(_BUCKETS):
            if seconds <= limit:
                buckets[position] += 1
        buckets[-1] += 1

    def count(self, name: str, number: int = 1) -> None:
        """Count an event; `name` is that of a counter, e.g. `mirror_hits_total`."""
        self._events[name] += number

    def set(self, name: str, value: float) -> None:
        """Set a gauge."""
        self._gauges[name] = value

    def render(self) -> str:
        """Return the exposition."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield "# HELP tiffin_registry_requests_total Requests answered."
        yield "# TYPE tiffin_registry_requests_total counter"
        for (kind, method, status), number in sorted(self._requests.items()):
            labels = f'endpoint="{kind}",method="{method}",status="{status}"'
            yield f"tiffin_registry_requests_total{{{labels}}} {number}"
        yield "# HELP tiffin_registry_response_bytes_total Bytes of bodies sent."
        yield "# TYPE tiffin_registry_response_bytes_total counter"
        for kind, number in sorted(self._sent.items()):
            yield f'tiffin_registry_response_bytes_total{{endpoint="{kind}"}} {number}'
        yield "# HELP tiffin_registry_request_duration_seconds Time from request to end of answer."
        yield "# TYPE tiffin_registry_request_duration_seconds histogram"
        for kind, buckets in sorted(self._durations.items()):
            name = "tiffin_registry_request_duration_seconds"
            for limit, number in zip((*_BUCKETS, "+Inf"), buckets, strict=True):
                yield f'{name}_bucket{{endpoint="{kind}",le="{limit}"}} {number}'
            yield f'{name}_sum{{endpoint="{kind}"}} {self._seconds[kind]:.6f}'
            yield f'{name}_count{{endpoint="{kind}"}} {buckets[-1]}'
        yield "# HELP tiffin_registry_requests_in_flight Requests being answered."
        yield "# TYPE tiffin_registry_requests_in_flight gauge"
        yield f"tiffin_registry_requests_in_flight {self._in_flight}"
        for name, number in sorted(self._events.items()):
            yield f"# TYPE tiffin_registry_{name} counter"
            yield f"tiffin_registry_{name} {number}"
        for name, value in sorted(self._gauges.items()):
            yield f"# TYPE tiffin_registry_{name} gauge"
            yield f"tiffin_registry_{name} {value:g}"


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
