"""The contract of drivers that send logs elsewhere."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tiffin.logs.messages import Message


@dataclass(frozen=True, slots=True)
class LogSource:
    """The container, as its messages name it; the tag and the attributes are worked out."""

    id: str
    name: str
    image_id: str
    image_name: str
    command: str
    created: str
    tag: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retry:
    """How a message is tried again: at once, then after `first_s`, each pause longer by `factor`.

    After `attempts` in vain it is given up.
    """

    first_s: float = 0.1
    factor: float = 2.0
    longest_s: float = 5.0
    attempts: int = 1 << 31


class RemoteDriver(Protocol):
    """The writing half of such a driver. It may block; it runs in a process of its own."""

    @property
    def retry(self) -> Retry:
        """How often to try."""

    @property
    def buffer_limit(self) -> int:
        """How many bytes of messages may wait."""

    @property
    def may_be_absent(self) -> bool:
        """Whether a container may start although the server does not answer."""

    def connect(self) -> None:
        """Connect, or OSError; its text is what Docker's users know."""

    def send(self, messages: deque[Message]) -> None:
        """Deliver, and take what was delivered away from the left; OSError leaves the others."""

    def close(self) -> None:
        """Close the connection; idempotent."""
