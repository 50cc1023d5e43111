"""Content digests, `sha256:<64 hex>` (OCI image-spec, descriptor.md, section Digests)."""

import hashlib
import re
from collections.abc import Iterable
from typing import NewType

from tiffin.errors import InvalidArgument

Digest = NewType("Digest", str)
DiffId = Digest
"""Digest of a layer's uncompressed tar."""
ChainId = Digest
"""Digest that names a stack of layers (OCI image-spec, config.md, section Layer ChainID)."""

_HEX_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128}
_PATTERN = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")


def parse_digest(text: str) -> Digest:
    """Return `text` as a digest of a supported algorithm; InvalidArgument otherwise."""
    if not _PATTERN.fullmatch(text):
        raise InvalidArgument(f"invalid digest format: {text!r}")
    algorithm, _, encoded = text.partition(":")
    if algorithm not in _HEX_LENGTH:
        raise InvalidArgument(f"unsupported digest algorithm: {text!r}")
    if len(encoded) != _HEX_LENGTH[algorithm] or not re.fullmatch("[0-9a-f]+", encoded):
        raise InvalidArgument(f"invalid checksum digest length: {text!r}")
    return Digest(text)


def algorithm_of(digest: Digest) -> str:
    """Return the algorithm part, e.g. `sha256`."""
    return digest.partition(":")[0]


def hex_of(digest: Digest) -> str:
    """Return the encoded part."""
    return digest.partition(":")[2]


def without_algorithm(text: str) -> str:
    """Return an id, or the start of one, without the algorithm it may begin with."""
    algorithm, colon, encoded = text.partition(":")
    return encoded if colon and algorithm in _HEX_LENGTH else text


def digest_bytes(data: bytes) -> Digest:
    """Return the sha256 digest of `data`."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def chain_ids(diff_ids: Iterable[DiffId]) -> list[ChainId]:
    """Return the chain ID of every prefix of `diff_ids`, lowest layer first."""
    chain: list[ChainId] = []
    for diff_id in diff_ids:
        chain.append(digest_bytes(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain
