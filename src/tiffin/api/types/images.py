"""Wire types of images, with the member names of the Engine API."""

from typing import Any, ClassVar

from msgspec import field

from tiffin.api.codec import Wire


class OCIPlatform(Wire):
    """`os/architecture[/variant]` of a descriptor."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"os.version", "os.features", "variant"})

    architecture: str = ""
    os: str = ""
    os_version: str = field(name="os.version", default="")
    os_features: list[str] = field(name="os.features", default_factory=list)
    variant: str = ""


class OCIDescriptor(Wire):
    """A blob by type, digest and size."""

    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"urls", "annotations", "platform", "artifactType"}
    )

    media_type: str = field(name="mediaType", default="")
    digest: str = ""
    size: int = 0
    urls: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    artifact_type: str = field(name="artifactType", default="")
    platform: OCIPlatform | None = None


class ManifestSize(Wire):
    """Bytes of one manifest's blobs, and with its unpacked layers."""

    content: int = field(name="Content", default=0)
    total: int = field(name="Total", default=0)


class UnpackedSize(Wire):
    """Bytes of the unpacked layers."""

    unpacked: int = field(name="Unpacked", default=0)


class ImageProperties(Wire):
    """What a manifest of kind `image` tells besides."""

    platform: OCIPlatform = field(name="Platform", default_factory=OCIPlatform)
    size: UnpackedSize = field(name="Size", default_factory=UnpackedSize)
    containers: list[str] = field(name="Containers", default_factory=list)


class AttestationProperties(Wire):
    """What a manifest of kind `attestation` tells besides: the digest of what it attests."""

    for_: str = field(name="For", default="")


class ManifestSummary(Wire):
    """One manifest of an image."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"ImageData", "AttestationData"})

    id: str = field(name="ID", default="")
    descriptor: OCIDescriptor = field(name="Descriptor", default_factory=OCIDescriptor)
    available: bool = field(name="Available", default=True)
    size: ManifestSize = field(name="Size", default_factory=ManifestSize)
    kind: str = field(name="Kind", default="image")
    image_data: ImageProperties | None = field(name="ImageData", default=None)
    attestation_data: AttestationProperties | None = field(name="AttestationData", default=None)


class ImageSummary(Wire):
    """One row of `GET /images/json`; -1 means not calculated."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"Manifests", "Descriptor", "VirtualSize"})

    id: str = field(name="Id", default="")
    parent_id: str = field(name="ParentId", default="")
    repo_tags: list[str] = field(name="RepoTags", default_factory=list)
    repo_digests: list[str] = field(name="RepoDigests", default_factory=list)
    created: int = field(name="Created", default=0)
    size: int = field(name="Size", default=0)
    shared_size: int = field(name="SharedSize", default=-1)
    virtual_size: int = field(name="VirtualSize", default=0)
    labels: dict[str, str] | None = field(name="Labels", default=None)
    containers: int = field(name="Containers", default=-1)
    descriptor: OCIDescriptor | None = field(name="Descriptor", default=None)
    manifests: list[ManifestSummary] = field(name="Manifests", default_factory=list)


class DriverData(Wire):
    """Where the storage driver keeps something."""

    data: dict[str, str] | None = field(name="Data", default=None)
    name: str = field(name="Name", default="")


class ImageRootFS(Wire):
    """Layers by diff ID."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"Layers"})

    type: str = field(name="Type", default="layers")
    layers: list[str] = field(name="Layers", default_factory=list)


class ImageMetadata(Wire):
    """What only this engine knows; Go's zero time stands for never."""

    last_tag_time: str = field(name="LastTagTime", default="0001-01-01T00:00:00Z")


class ImageInspect(Wire):
    """`GET /images/{name}/json`. `config` is the section as JSON: it depends on the version."""

    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"Created", "Variant", "OsVersion", "VirtualSize", "ContainerConfig", "Container",
         "Descriptor", "Manifests"}
    )  # fmt: skip

    id: str = field(name="Id", default="")
    repo_tags: list[str] = field(name="RepoTags", default_factory=list)
    repo_digests: list[str] = field(name="RepoDigests", default_factory=list)
    parent: str = field(name="Parent", default="")
    comment: str = field(name="Comment", default="")
    created: str = field(name="Created", default="")
    container: str = field(name="Container", default="")
    container_config: dict[str, Any] | None = field(name="ContainerConfig", default=None)
    docker_version: str = field(name="DockerVersion", default="")
    author: str = field(name="Author", default="")
    config: dict[str, Any] | None = field(name="Config", default=None)
    architecture: str = field(name="Architecture", default="")
    variant: str = field(name="Variant", default="")
    os: str = field(name="Os", default="")
    os_version: str = field(name="OsVersion", default="")
    size: int = field(name="Size", default=0)
    virtual_size: int = field(name="VirtualSize", default=0)
    graph_driver: DriverData = field(name="GraphDriver", default_factory=DriverData)
    root_fs: ImageRootFS = field(name="RootFS", default_factory=ImageRootFS)
    metadata: ImageMetadata = field(name="Metadata", default_factory=ImageMetadata)
    descriptor: OCIDescriptor | None = field(name="Descriptor", default=None)
    manifests: list[ManifestSummary] = field(name="Manifests", default_factory=list)


class HistoryItem(Wire):
    """One step of an image's history."""

    id: str = field(name="Id", default="<missing>")
    created: int = field(name="Created", default=0)
    created_by: str = field(name="CreatedBy", default="")
    tags: list[str] | None = field(name="Tags", default=None)
    size: int = field(name="Size", default=0)
    comment: str = field(name="Comment", default="")


class DeleteItem(Wire):
    """One thing that a removal did."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"Untagged", "Deleted"})

    untagged: str = field(name="Untagged", default="")
    deleted: str = field(name="Deleted", default="")


class PruneReport(Wire):
    """`POST /images/prune`."""

    images_deleted: list[DeleteItem] | None = field(name="ImagesDeleted", default=None)
    space_reclaimed: int = field(name="SpaceReclaimed", default=0)


class VerifyProblem(Wire, rename="pascal"):
    """A part of an image that is not what it was. `POST /images/verify`, an extension."""

    image_id: str = field(name="ImageID")
    names: list[str]
    digest: str
    role: str
    fault: str
    repaired: bool
    reason: str = ""


class DistributionInspect(Wire):
    """`GET /distribution/{name}/json`."""

    descriptor: OCIDescriptor = field(name="Descriptor", default_factory=OCIDescriptor)
    platforms: list[OCIPlatform] = field(name="Platforms", default_factory=list)


class AuthRequest(Wire):
    """`POST /auth`."""

    username: str = ""
    password: str = ""
    auth: str = ""
    email: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class AuthResponse(Wire):
    """The answer to a login."""

    identity_token: str = field(name="IdentityToken", default="")
    status: str = field(name="Status", default="")
