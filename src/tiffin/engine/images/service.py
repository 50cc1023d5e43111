"""Images, as the rest of the engine and the routes see them."""

import asyncio
import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from yarl import URL

from tiffin.api.filters import Filters
from tiffin.api.types.images import (
    AuthRequest,
    AuthResponse,
    DeleteItem,
    DistributionInspect,
    HistoryItem,
    ImageInspect,
    ImageSummary,
    PruneReport,
    VerifyProblem,
)
from tiffin.engine.events import Events
from tiffin.engine.images import archives, render
from tiffin.engine.images.access import RegistryAccess
from tiffin.engine.images.archives import ImportRequest
from tiffin.engine.images.context import ImageContext, ImageUsers, NoUsers, Progress, silent
from tiffin.engine.images.documents import Documents
from tiffin.engine.images.listing import ListOptions, list_images
from tiffin.engine.images.prune import preview, prune
from tiffin.engine.images.pull import PullRequest, Pulls
from tiffin.engine.images.push import Pushes
from tiffin.engine.images.remote import Remote
from tiffin.engine.images.remove import remove, remove_platforms
from tiffin.engine.images.transfers import Downloads
from tiffin.engine.images.trash import RetiredImages
from tiffin.engine.trash.contract import Bin, NoBin
from tiffin.errors import InvalidArgument, NotFound
from tiffin.images.image import Image
from tiffin.images.lease import Lease
from tiffin.images.load import Loaded
from tiffin.images.platforms import for_platform, unpacked
from tiffin.images.store import ImageStore
from tiffin.layers.compression import Source
from tiffin.registry.credentials import ANONYMOUS, Credentials
from tiffin.registry.endpoints import Endpoint
from tiffin.registry.transport import Transport
from tiffin.spec.platform import Platform
from tiffin.spec.reference import Reference, parse_reference
from tiffin.wire.jsonmessage import status

log = logging.getLogger(__name__)


class Images:
    """All use-cases of images. `users` may be replaced once the containers are there."""

    def __init__(
        self,
        store: ImageStore,
        events: Events,
        access: RegistryAccess | None = None,
        users: ImageUsers | None = None,
        *,
        bin: Bin | None = None,  # noqa: A002  # there is no other word
        max_downloads: int = 3,
        max_uploads: int = 5,
    ) -> None:
        self.store = store
        self._context = ImageContext(store, events, users or NoUsers(), bin or NoBin())
        self.retired = RetiredImages(self._context)
        self._access = access or RegistryAccess()
        self.pulls = Pulls(self._context, self._access, Downloads(self._context, max_downloads))
        self._max_uploads = max_uploads

    @property
    def users(self) -> ImageUsers:
        """Who uses images."""
        return self._context.users

    @users.setter
    def users(self, users: ImageUsers) -> None:
        self._context.users = users

    @cached_property
    def _pushes(self) -> Pushes:
        return Pushes(self._context, self._access, asyncio.Semaphore(self._max_uploads))

    @cached_property
    def remote(self) -> Remote:
        """What is asked of registries without an image."""
        return Remote(self._access)

    async def recover(self, known_keys: Collection[str] | None = None) -> None:
        """Clean up what a killed daemon left behind, and unpack again what the disk lost.

        Of the snapshots that are no images' layers, those in `known_keys` stay (None: all).
        """
        for lost in await self._context.run(self.store.recover, known_keys):
            log.warning("recovering image %s", lost)

    def close(self) -> None:
        """Let the worker threads go."""
        self._context.workers.shutdown(wait=False, cancel_futures=True)

    # Looking

    async def get(self, ref: str, platform: Platform | None = None) -> Image:
        """Find an image by name or id, for this machine or for `platform`.

        NotFound `No such image: …`, or in Docker's words if it is for another platform.
        """
        return await self._context.run(unpacked, self.store, ref, platform)

    def hold(self, image: Image) -> Lease:
        """Keep an image's layers while something is made from it; NotFound if it is gone."""
        return self.store.hold(image)

    async def inspect(
        self, ref: str, *, manifests: bool = False, platform: Platform | None = None
    ) -> tuple[ImageInspect, Image]:
        """Describe an image, in the newest version of the API."""
        image = await self._context.run(for_platform, self.store, ref, platform)
        found = await self._context.run(render.inspect, self._context, image, manifests=manifests)
        return found, image

    async def history(self, ref: str, platform: Platform | None = None) -> list[HistoryItem]:
        """Return the steps an image was made by, newest first."""
        image = await self._context.run(for_platform, self.store, ref, platform)
        return await self._context.run(render.history, self._context, image)

    async def check_platform(self, ref: str, platform: Platform | None) -> None:
        """Raise NotFound if the image is for other platforms than asked for."""
        await self._context.run(for_platform, self.store, ref, platform)

    # Naming and removing

    async def tag(self, ref: str, target: Reference) -> None:
        """Give an image one more name; NotFound, InvalidArgument."""
        if target.digest:
            raise InvalidArgument("refusing to create a tag with a digest reference")
        if target.familiar_repository == "sha256":
            raise InvalidArgument(
                "refusing to create an ambiguous tag using digest algorithm as name"
            )
        image = await self.get(ref)
        meaning = await self._context.run(self.store.target_of, ref)
        await self._context.run(self.store.tag, image, target, meaning)
        self._context.publish("tag", image.id, target.with_default_tag().familiar)

    async def remove(
        self, ref: str, *, force: bool = False, prune: bool = True,
        platforms: Sequence[Platform] = (),
    ) -> list[DeleteItem]:  # fmt: skip
        """Remove an image, one of its names, or what it has for some platforms.

        NotFound, Conflict.
        """
        if platforms:
            return await remove_platforms(self._context, ref, platforms, force=force)
        return await remove(self._context, ref, force=force, prune=prune)

    async def prune(self, filters: Filters) -> PruneReport:
        """Remove unused images."""
        return await prune(self._context, filters)

    async def preview_prune(self, filters: Filters, gone: Collection[str] = ()) -> PruneReport:
        """Tell what `prune` would remove, as if the containers `gone` were removed already."""
        return await preview(self._context, filters, gone)

    async def collect(self) -> None:
        """Remove layers of images that were removed while a container still used them."""
        await self._context.run(self.store.collect)

    # Registries

    async def pull(
        self,
        reference: Reference,
        *,
        platform: Platform | None = None,
        all_platforms: bool = False,
        credentials: Credentials = ANONYMOUS,
        emit: Progress = silent,
    ) -> Image:
        """Pull one image (`latest` if the reference is bare); NotFound, RegistryError."""
        reference = reference.with_default_tag()
        request = PullRequest(reference, platform, credentials, all_platforms)
        return await self.pulls.pull(request, emit)

    async def pull_all(
        self,
        repository: Reference,
        *,
        platform: Platform | None = None,
        all_platforms: bool = False,
        credentials: Credentials = ANONYMOUS,
        emit: Progress = silent,
    ) -> None:
        """Pull every tag of a repository; NotFound, RegistryError."""
        for tag in await self.pulls.tags(repository, credentials):
            reference = repository.with_tag(tag)
            request = PullRequest(reference, platform, credentials, all_platforms)
            await self.pulls.pull(request, emit)

    async def ensure(
        self,
        reference: Reference,
        *,
        platform: Platform | None = None,
        credentials: Credentials = ANONYMOUS,
        emit: Progress = silent,
        always: bool = False,
    ) -> Image:
        """Return an image, pulled if it is not here, is for another platform, or `always`."""
        if not always:
            try:
                return await self.get(str(reference.with_default_tag()), platform)
            except NotFound:
                pass
        return await self.pull(reference, platform=platform, credentials=credentials, emit=emit)

    async def push(
        self, reference: Reference, *, credentials: Credentials = ANONYMOUS,
        emit: Progress = silent, platform: Platform | None = None,
    ) -> None:  # fmt: skip
        """Push a tag, or all tags of a bare repository; NotFound, RegistryError."""
        await self._pushes.push(reference, emit, credentials, platform)

    async def distribution(
        self, ref: str, credentials: Credentials = ANONYMOUS, *, insecure: bool = False
    ) -> DistributionInspect:
        """Ask the registry what it has under a name."""
        reference = parse_reference(ref).with_default_tag()
        return await self.remote.inspect(reference, credentials, insecure=insecure)

    def documents(
        self, credentials: Credentials = ANONYMOUS, *, insecure: bool = False
    ) -> Documents:
        """Give access to single manifests and blobs of registries."""
        return Documents(self._access, credentials, insecure)

    async def login(self, request: AuthRequest) -> AuthResponse:
        """Check credentials."""
        return await self.remote.login(request)

    async def verify(
        self, refs: Sequence[str], *, repair: bool = False, credentials: Credentials = ANONYMOUS,
        emit: Progress = silent,
    ) -> Sequence[VerifyProblem]:  # fmt: skip
        """Compare all bytes of images with their digests; NotFound."""
        from tiffin.engine.images.verify import Verification  # rare

        verification = Verification(self._context, self._access, emit, repair, credentials)
        return await verification.run(refs)

    async def search(
        self, term: str, limit: int, filters: Filters, credentials: Credentials = ANONYMOUS
    ) -> list[Mapping[str, Any]]:
        """Search an index of repositories."""
        from tiffin.engine.images.search import Search  # rare

        return await Search(term, limit, filters, credentials).run(self._access)

    # Archives

    async def load(
        self, stream: Source, *, emit: Progress = silent, quiet: bool = False,
        platform: Platform | None = None,
    ) -> list[Loaded]:  # fmt: skip
        """Load the images of an archive; `stream` is read in a thread."""
        return await archives.load_images(
            self._context, stream, emit, quiet=quiet, platform=platform
        )

    async def save(
        self, names: Sequence[str], platforms: Sequence[Platform] = ()
    ) -> Iterator[bytes]:
        """Return an archive of images in chunks, to be advanced in a thread."""
        return await archives.save_images(self._context, names, platforms)

    async def import_(
        self, stream: Source, request: ImportRequest, emit: Progress = silent
    ) -> Image:
        """Make an image of a filesystem's tar; `stream` is read in a thread."""
        return await archives.import_image(self._context, stream, request, emit)

    async def import_url(self, url: str, request: ImportRequest, emit: Progress = silent) -> Image:
        """Make an image of the tar at an http(s) URL."""
        source = _url(url)
        emit(status(f"Downloading from {source}"))
        with tempfile.TemporaryFile() as spool:
            transport = Transport(
                Endpoint(str(source.origin())), user_agent=self._access.user_agent
            )
            async with transport, transport.send("GET", source) as response:
                async for chunk in transport.chunks(response):
                    await self._context.run(spool.write, chunk)
            spool.seek(0)
            return await self.import_(spool, request, emit)

    # Numbers

    async def count(self) -> int:
        """Return how many images there are."""
        return len(self.store.records.all())

    async def layers_size(self) -> int:
        """Return the bytes of all unpacked layers of all images, each counted once."""
        return await self._context.run(self._layers_size)

    async def usage(self) -> list[ImageSummary]:
        """Return all images with shared sizes and numbers of containers, for `system df`."""
        return await self.list(ListOptions(shared_size=True, containers=True))

    def _layers_size(self) -> int:
        chain = {each for image in self.store.all() for each in image.config.chain_ids()}
        return sum(self.store.layer_size(each) for each in chain)

    # Last: from here on the name `list` is this method within the class.

    async def list(self, options: ListOptions | None = None) -> list[ImageSummary]:
        """List images, newest first."""
        return await self._context.run(list_images, self._context, options or ListOptions())


def _url(text: str) -> URL:
    """Return the URL, http unless it says otherwise; InvalidArgument."""
    try:
        url = URL(text if "://" in text else f"http://{text}")
        (url.host or "").encode("idna")
    except ValueError as error:
        raise InvalidArgument(f"invalid import source {text!r}: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidArgument(f"invalid import source {text!r}")
    return url
