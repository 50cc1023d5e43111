"""How a registry's content is laid out as objects, whatever keeps them.

```
blobs/<algorithm>/<2 hex>/<hex>                        the bytes, of blobs and manifests alike
links/<algorithm>/<2 hex>/<hex>/<repository>           empty: the repository has this blob
catalog/<repository>                                   empty: the repository exists
repositories/<repository>/manifests/<algorithm>/<hex>  JSON: media type and size
repositories/<repository>/tags/<tag>                   JSON: the digest
repositories/<repository>/referrers/<algorithm>/<hex of the subject>/<algorithm>/<hex>   a descriptor
```
The `/` in a repository's name is written `~`, which no name contains.
"""

from tiffin.spec.digest import Digest, algorithm_of, hex_of

CATALOG = "catalog/"
LINKS = "links/"
BLOBS = "blobs/"


def escape(repository: str) -> str:
    """Return the name as one component of a key."""
    return repository.replace("/", "~")


def unescape(component: str) -> str:
    """Return the name that `escape` was given."""
    return component.replace("~", "/")


def blob(digest: Digest) -> str:
    """Return the key of a blob's bytes."""
    return f"{BLOBS}{_split(digest)}"


def links(digest: Digest) -> str:
    """Return the prefix of a blob's links."""
    return f"{LINKS}{_split(digest)}/"


def link(digest: Digest, repository: str) -> str:
    """Return the key that says that the repository has the blob."""
    return links(digest) + escape(repository)


def catalog(repository: str) -> str:
    """Return the key that says that the repository exists."""
    return CATALOG + escape(repository)


def repository_prefix(repository: str) -> str:
    """Return the prefix of all that is the repository's own."""
    return f"repositories/{escape(repository)}/"


def manifests(repository: str) -> str:
    """Return the prefix of the repository's manifests."""
    return repository_prefix(repository) + "manifests/"


def manifest(repository: str, digest: Digest) -> str:
    """Return the key of a manifest's record."""
    return f"{manifests(repository)}{algorithm_of(digest)}/{hex_of(digest)}"


def tags(repository: str) -> str:
    """Return the prefix of the repository's tags."""
    return repository_prefix(repository) + "tags/"


def tag(repository: str, name: str) -> str:
    """Return the key of a tag."""
    return tags(repository) + name


def referrers(repository: str, subject: Digest) -> str:
    """Return the prefix of the descriptors that refer to `subject`."""
    return f"{repository_prefix(repository)}referrers/{algorithm_of(subject)}/{hex_of(subject)}/"


def referrer(repository: str, subject: Digest, digest: Digest) -> str:
    """Return the key of one referrer's descriptor."""
    return f"{referrers(repository, subject)}{algorithm_of(digest)}/{hex_of(digest)}"


def digest_at_end(key: str) -> Digest:
    """Return the digest that the last two components of a key are."""
    algorithm, encoded = key.rsplit("/", 2)[-2:]
    return Digest(f"{algorithm}:{encoded}")


def blob_digest(key: str) -> Digest:
    """Return the digest of a key below `blobs/`."""
    _, algorithm, _, encoded = key.split("/", 3)
    return Digest(f"{algorithm}:{encoded}")


def link_of(key: str) -> tuple[Digest, str]:
    """Return the blob and the repository that a key below `links/` joins."""
    _, algorithm, _, encoded, repository = key.split("/", 4)
    return Digest(f"{algorithm}:{encoded}"), unescape(repository)


def _split(digest: Digest) -> str:
    encoded = hex_of(digest)
    return f"{algorithm_of(digest)}/{encoded[:2]}/{encoded}"
