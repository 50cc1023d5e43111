"""Upload sessions: begin, append, ask, finish, cancel (spec, Pushing blobs).

Bytes are hashed as they come, in threads, while the next ones are read. The state of a hash is kept in
memory only: a session that is taken up after a restart is read once from the storage.
"""

import asyncio
import hashlib
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from tiffin.distribution.blobs import Blobs
from tiffin.distribution.errors import Code, DistributionError
from tiffin.distribution.ranges import ByteRange
from tiffin.distribution.storage.driver import StorageDriver, Upload
from tiffin.errors import NotFound
from tiffin.spec.digest import Digest, algorithm_of

ALGORITHMS = frozenset({"sha256", "sha384", "sha512"})
_BLOCK = 1 << 20
_REMEMBERED = 1024
_BUSY_S = 10.0
_SETTLING_S = 1.0
_IDENTIFIER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(slots=True)
class _Session:
    algorithm: str
    upload: Upload
    hash: "hashlib._Hash"
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Uploads:
    """The uploads under way. `chunks` below are a request's body."""

    def __init__(self, driver: StorageDriver, blobs: Blobs) -> None:
        self._driver = driver
        self._blobs = blobs
        self._sessions: dict[tuple[str, str], _Session] = {}

    async def begin(self, repository: str, algorithm: str = "sha256") -> str:
        """Begin a session and return its identifier, a UUID; DIGEST_INVALID."""
        _check_algorithm(algorithm)
        identifier = str(uuid.uuid4())
        upload = await self._driver.begin(_stored_as(repository, identifier))
        self._remember(repository, identifier, _Session(algorithm, upload, hashlib.new(algorithm)))
        return identifier

    async def offset(self, repository: str, identifier: str) -> int:
        """Return how many bytes have come; BLOB_UPLOAD_UNKNOWN.

        Who asks after a break waits a moment for what came before it to be written down.
        """
        session = await self._session(repository, identifier)
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLING_S), session.lock:
                pass
        return session.upload.offset

    async def append(
        self,
        repository: str,
        identifier: str,
        chunks: AsyncIterator[bytes],
        place: ByteRange | None = None,
        algorithm: str = "sha256",
    ) -> int:
        """Add a chunk, which must belong at `place`; return how many bytes have come in all.

        BLOB_UPLOAD_UNKNOWN; BLOB_UPLOAD_INVALID with 416 if it belongs somewhere else; SIZE_INVALID
        if it is not as long as it says. What comes before a connection breaks is kept.
        """
        session = await self._session(repository, identifier, algorithm)
        async with self._writing(session):
            await self._absorb(repository, identifier, session, chunks, place)
            await session.upload.flush()
            return session.upload.offset

    async def finish(
        self,
        repository: str,
        identifier: str,
        digest: Digest,
        chunks: AsyncIterator[bytes],
        place: ByteRange | None = None,
    ) -> None:
        """Add the last chunk, if any, and make the bytes a blob; DIGEST_INVALID ends the session."""
        session = await self._session(repository, identifier, algorithm_of(digest))
        async with self._writing(session):
            if session.upload.offset == 0:
                session.algorithm = algorithm_of(digest)
                session.hash = hashlib.new(session.algorithm)
            await self._absorb(repository, identifier, session, chunks, place)
            if session.algorithm != algorithm_of(digest):
                await session.upload.flush()
                await _rehash(session, algorithm_of(digest))
            found = f"{session.algorithm}:{session.hash.hexdigest()}"
            if found != digest:
                await self._drop(repository, identifier, session)
                detail = {"expected": digest, "actual": found}
                raise DistributionError(Code.DIGEST_INVALID, detail=detail)
            try:
                await self._blobs.admit(repository, digest, session.upload)
            finally:
                self._sessions.pop((repository, identifier), None)

    async def cancel(self, repository: str, identifier: str) -> None:
        """Drop the session and its bytes; BLOB_UPLOAD_UNKNOWN."""
        session = await self._session(repository, identifier)
        async with self._writing(session):
            await self._drop(repository, identifier, session)

    async def discard_older(self, before: float) -> int:
        """Drop the sessions that nothing was added to since `before` (epoch); return how many."""
        busy = {
            _stored_as(*key) for key, session in self._sessions.items() if session.lock.locked()
        }
        dropped = 0
        async for info in self._driver.uploads():
            if info.modified_at < before and info.identifier not in busy:
                await (await self._driver.resume(info.identifier)).discard()
                dropped += 1
        return dropped

    async def _session(
        self, repository: str, identifier: str, algorithm: str = "sha256"
    ) -> _Session:
        if session := self._sessions.get((repository, identifier)):
            return session
        _check_algorithm(algorithm)
        try:
            if not _IDENTIFIER.fullmatch(identifier):
                raise NotFound(identifier)
            upload = await self._driver.resume(_stored_as(repository, identifier))
        except NotFound:
            raise _unknown(identifier) from None
        session = _Session(algorithm, upload, hashlib.new(algorithm))
        await _rehash(session, algorithm)
        if other := self._sessions.get((repository, identifier)):
            return other  # taken up by another request while we read
        self._remember(repository, identifier, session)
        return session

    def _remember(self, repository: str, identifier: str, session: _Session) -> None:
        self._sessions[repository, identifier] = session
        for key in list(self._sessions)[: len(self._sessions) - _REMEMBERED]:
            if not self._sessions[key].lock.locked():
                del self._sessions[key]

    def _writing(self, session: _Session) -> "_Held":
        return _Held(session.lock)

    async def _absorb(
        self,
        repository: str,
        identifier: str,
        session: _Session,
        chunks: AsyncIterator[bytes],
        place: ByteRange | None,
    ) -> None:
        if (repository, identifier) not in self._sessions:
            raise _unknown(identifier)  # finished or dropped while we waited
        before = session.upload.offset
        if place is not None and place.first != before:
            raise _misplaced(place, before)
        try:
            await _write_all(session, chunks)
        except OSError as error:
            if isinstance(error, ConnectionError):
                await session.upload.flush()
            else:
                # The hash is ahead of the storage, and a full disk wants its bytes back.
                await self._drop(repository, identifier, session)
            raise
        except BaseException:
            await session.upload.flush()
            raise
        if place is not None and session.upload.offset - before != place.length:
            raise DistributionError(Code.SIZE_INVALID)

    async def _drop(self, repository: str, identifier: str, session: _Session) -> None:
        self._sessions.pop((repository, identifier), None)
        await session.upload.discard()


class _Held:
    """The lock of a session; a request that is not let in soon is told so."""

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock = lock

    async def __aenter__(self) -> None:
        try:
            await asyncio.wait_for(self._lock.acquire(), _BUSY_S)
        except TimeoutError:
            message = "another request is writing to this upload"
            raise DistributionError(Code.BLOB_UPLOAD_INVALID, message, status=409) from None

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


async def _write_all(session: _Session, chunks: AsyncIterator[bytes]) -> None:
    """Write and hash blocks, each while the next one is being read."""
    writing: asyncio.Task[None] | None = None
    buffer = bytearray()
    try:
        async for chunk in chunks:
            buffer += chunk
            if len(buffer) >= _BLOCK:
                if writing is not None:
                    await writing
                writing = asyncio.create_task(_write(session, buffer))
                buffer = bytearray()
    finally:
        # Also when the connection broke: what has come is what the client resumes from.
        if writing is not None:
            await writing
        if buffer:
            await _write(session, buffer)


async def _write(session: _Session, data: bytearray) -> None:
    hashing = asyncio.to_thread(session.hash.update, data)
    results = await asyncio.gather(session.upload.append(data), hashing, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def _rehash(session: _Session, algorithm: str) -> None:
    session.algorithm, session.hash = algorithm, hashlib.new(algorithm)
    async for data in session.upload.read():
        await asyncio.to_thread(session.hash.update, data)


def _stored_as(repository: str, identifier: str) -> str:
    """Return the storage's name of an upload, which another repository's URL does not lead to."""
    return f"{identifier}-{hashlib.sha256(repository.encode()).hexdigest()[:16]}"


def _check_algorithm(algorithm: str) -> None:
    if algorithm not in ALGORITHMS:
        message = f"unsupported digest algorithm {algorithm[:50]!r}"
        raise DistributionError(Code.DIGEST_INVALID, message)


def _unknown(identifier: str) -> DistributionError:
    return DistributionError(Code.BLOB_UPLOAD_UNKNOWN, detail={"uuid": identifier[:100]})


def _misplaced(place: ByteRange, offset: int) -> DistributionError:
    message = f"the chunk begins at byte {place.first}, but byte {offset} is next"
    return DistributionError(
        Code.BLOB_UPLOAD_INVALID, message, status=416, headers={"Range": f"0-{max(offset - 1, 0)}"}
    )
