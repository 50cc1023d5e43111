"""Puts a registry together from its configuration: the only place that picks implementations."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from tiffin import __version__
from tiffin.distribution.access.bearer import BearerGate
from tiffin.distribution.access.gate import Gate, OpenGate
from tiffin.distribution.access.htpasswd import Htpasswd
from tiffin.distribution.access.issuer import ISSUER, PATH, TokenServer, load_secret
from tiffin.distribution.access.passwords import PasswordGate
from tiffin.distribution.access.policy import EVERYTHING_FOR_USERS, Policy
from tiffin.distribution.access.tokens import Verifier, load_keys
from tiffin.distribution.blobs import Blobs
from tiffin.distribution.catalog import Catalog
from tiffin.distribution.config import Config
from tiffin.distribution.contents import Contents, OwnContents
from tiffin.distribution.garbage import Collector
from tiffin.distribution.http.access_log import AccessLog
from tiffin.distribution.http.app import Api, table
from tiffin.distribution.http.blobs import BlobEndpoints
from tiffin.distribution.http.discovery import DiscoveryEndpoints
from tiffin.distribution.http.manifests import ManifestEndpoints
from tiffin.distribution.http.metrics import Metrics
from tiffin.distribution.http.middleware import errors, recorded, standard_headers
from tiffin.distribution.http.operations import Operations
from tiffin.distribution.manifests import Manifests
from tiffin.distribution.storage.driver import StorageDriver
from tiffin.distribution.storage.filesystem import FilesystemDriver
from tiffin.distribution.uploads import Uploads
from tiffin.distribution.web.browse import Browser
from tiffin.distribution.web.pages import Pages
from tiffin.errors import InvalidArgument

# An object store answers slowly, so that claims are renewed there only when they have aged.
_CLAIM_AGE_S = 60.0
_SERVICE = "tiffin-registry"


@dataclass(frozen=True, slots=True)
class Registry:
    """The parts of a registry that the outside works with."""

    driver: StorageDriver
    blobs: Blobs
    uploads: Uploads
    manifests: Manifests
    catalog: Catalog
    collector: Collector
    metrics: Metrics


def registry(config: Config) -> Registry:
    """Make a registry; nothing is opened yet."""
    driver = _driver(config)
    blobs = Blobs(driver, claim_age_s=_CLAIM_AGE_S if config.storage else 0.0)
    uploads = Uploads(driver, blobs)
    manifests = Manifests(driver, blobs, check_references=not config.allow_sparse)
    catalog = Catalog(driver)
    collector = Collector(blobs, manifests, uploads, catalog)
    return Registry(driver, blobs, uploads, manifests, catalog, collector, Metrics())


def application(config: Config, parts: Registry) -> web.Application:
    """Return the application that serves a registry; InvalidArgument, Unimplemented."""
    gate, token_server = _gate(config)
    log = AccessLog(config.log_format)
    app = web.Application(middlewares=[recorded(parts.metrics, log), errors])
    contents = _contents(config, parts, app)
    rules = table(
        BlobEndpoints(contents, parts.blobs, parts.uploads),
        ManifestEndpoints(contents, parts.manifests, limit=config.manifest_limit),
        DiscoveryEndpoints(contents, parts.catalog),
    )
    api = Api(rules, gate, frozen=_frozen(config))
    app.on_response_prepare.append(standard_headers)
    app.router.add_route("*", "/v2{tail:(?:/.*)?}", api.handle)
    if token_server is not None:
        app.router.add_get(PATH, token_server.get, allow_head=False)
        app.router.add_post(PATH, token_server.post)
    operations = Operations(parts.driver, parts.metrics)
    app.router.add_get("/healthz", operations.health)
    app.router.add_get("/metrics", operations.metrics)
    if config.web:
        _pages(config, parts, gate).add_to(app)
    return app


def _pages(config: Config, parts: Registry, gate: Gate) -> Pages:
    about = f"A cache of {config.mirror.upstream}" if config.mirror else f"Tiffin {__version__}"
    browser = Browser(parts.manifests, parts.blobs)
    return Pages(gate, parts.catalog, parts.manifests, browser, about)


def _driver(config: Config) -> StorageDriver:
    if (storage := config.storage) is None:
        return FilesystemDriver(config.root)
    from tiffin.distribution.storage.s3 import S3Driver  # an HTTP client of its own
    from tiffin.distribution.storage.s3_client import S3Client
    from tiffin.distribution.storage.sigv4 import Keys

    if not storage.access_key or not storage.secret_key:
        raise InvalidArgument(
            "no credentials for the object storage",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    keys = Keys(storage.access_key, storage.secret_key, storage.region, storage.session_token)
    return S3Driver(S3Client(storage.bucket, keys, endpoint=storage.endpoint), storage.prefix)


def _contents(config: Config, parts: Registry, app: web.Application) -> Contents:
    own = OwnContents(parts.blobs, parts.manifests, parts.catalog)
    if config.mirror is None:
        return own
    from tiffin.distribution.mirror.cache import MirroredContents  # a registry client of its own
    from tiffin.distribution.mirror.upstream import Upstream

    mirrored = MirroredContents(
        own,
        parts.blobs,
        parts.manifests,
        Upstream(config.mirror),
        spool=config.root / "spool",
        ttl_s=config.mirror.ttl_s,
        metrics=parts.metrics,
    )

    async def while_serving(app: web.Application) -> AsyncIterator[None]:
        del app
        await mirrored.open()
        yield
        await mirrored.close()

    app.cleanup_ctx.append(while_serving)
    return mirrored


def _frozen(config: Config) -> str:
    if config.mirror is not None:
        return f"this registry is a cache of {config.mirror.upstream}: push there"
    return "this registry is read-only" if config.read_only else ""


def _gate(config: Config) -> tuple[Gate, TokenServer | None]:
    if (foreign := config.foreign_tokens) is not None:
        verifier = Verifier(load_keys(foreign.keys), issuer=foreign.issuer, service=foreign.service)
        return BearerGate(verifier, realm=foreign.realm, service=foreign.service), None
    if config.htpasswd is None:
        return OpenGate(), None
    policy = Policy(config.access) if config.access else EVERYTHING_FOR_USERS
    passwords = PasswordGate(Htpasswd(config.htpasswd), policy)
    # Docker's clients cannot come as anonymous where Basic is asked for; for tokens they can.
    if not config.tokens and not policy.has_anonymous:
        return passwords, None
    key = load_secret(config.root / "token-secret")
    verifier = Verifier([key], issuer=ISSUER, service=_SERVICE)
    gate = BearerGate(verifier, realm=PATH, service=_SERVICE, passwords=passwords)
    return gate, TokenServer(passwords, key, service=_SERVICE)
