"""Manifests of registries, asked for through the daemon."""

import base64
import json
from typing import Any

from tiffin.cli.command import CommandFailed, Context
from tiffin.cli.credentials import registry_auth
from tiffin.cli.manifest.local import Json, Member, in_order
from tiffin.client.api import ApiError, path_part
from tiffin.spec.descriptor import DOCKER_INDEX, INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST
from tiffin.spec.reference import Reference

Found = Member | list[Member]


class Registry:
    """The registries, as the daemon reaches them; `insecure` allows plain HTTP."""

    def __init__(self, context: Context, *, insecure: bool) -> None:
        self._context = context
        self._query = {"insecure": insecure}

    def find(self, reference: Reference) -> Found:
        """Return an image's manifest, or all of a list; CommandFailed `no such manifest`."""
        kind, digest, data = self._manifest(reference)
        if kind in INDEXES:
            return [self._entry(reference, entry) for entry in json.loads(data)["manifests"]]
        if kind not in MANIFESTS:
            raise CommandFailed(f"{reference} is neither an image nor a manifest list: {kind}")
        descriptor = {"mediaType": kind, "digest": digest, "size": len(data)}
        platforms = self._json(reference).get("Platforms") or [{}]
        member = Member(str(reference), descriptor, _pack(data), json.loads(data))
        return member.with_platform(platforms[0])

    def put(self, reference: Reference, kind: str, data: bytes) -> str:
        """Store a manifest; return its digest. ApiError."""
        headers = {**self._auth(reference), "Content-Type": kind}
        answer = self._context.api.call(
            "PUT", f"{_path(reference)}/manifest", self._query, stream=[data], headers=headers
        )
        return str(answer.json()["Digest"])

    def mount(self, target: Reference, digest: str, source: Reference) -> None:
        """Bring a blob from one repository of a registry to another. ApiError."""
        query = {**self._query, "digest": digest, "from": source.repository}
        headers = self._auth(target)
        self._context.api.call("POST", f"{_path(target.bare())}/mount", query, headers=headers)

    def _entry(self, reference: Reference, entry: Json) -> Member:
        """Return a list's entry with the manifest that it names."""
        from dataclasses import replace

        name = replace(reference, digest=entry["digest"])
        kind, digest, data = self._manifest(name)
        descriptor = {"mediaType": kind, "digest": digest, "size": len(data)}
        member = Member(str(name), descriptor, _pack(data), json.loads(data))
        return member.with_platform(entry.get("platform") or {})

    def _manifest(self, reference: Reference) -> tuple[str, str, bytes]:
        """Return a manifest's media type, digest and bytes."""
        try:
            answer = self._context.api.call(
                "GET", f"{_path(reference)}/manifest", self._query, headers=self._auth(reference)
            )
        except ApiError as error:
            if error.status != 404:
                raise
            raise CommandFailed(f"no such manifest: {reference.familiar}") from error
        data = answer.read()
        headers = answer.head.headers
        return headers["content-type"], headers["docker-content-digest"], data

    def _json(self, reference: Reference) -> Any:  # noqa: ANN401  # JSON
        return self._context.api.call(
            "GET", f"{_path(reference)}/json", self._query, headers=self._auth(reference)
        ).json()

    def _auth(self, reference: Reference) -> dict[str, str]:
        return registry_auth(self._context, reference.repository)


def list_document(members: list[Member]) -> tuple[str, bytes]:
    """Return media type and bytes of the list of these images, as Docker's client writes it."""
    first = members[0].descriptor["mediaType"]
    kind = OCI_INDEX if first == OCI_MANIFEST else DOCKER_INDEX
    entries = []
    for member in members:
        described = member.descriptor
        entry = {key: described[key] for key in ("mediaType", "size", "digest")}
        platform = in_order(member.platform)
        # Docker's type demands both, be they empty.
        both = {key: platform.get(key, "") for key in ("architecture", "os")}
        entries.append({**entry, "platform": both | platform})
    document = {"schemaVersion": 2, "mediaType": kind, "manifests": entries}
    return kind, json.dumps(document, indent=3, ensure_ascii=False).encode()


def _path(reference: Reference) -> str:
    return f"/distribution/{path_part(str(reference))}"


def _pack(data: bytes) -> str:
    return base64.b64encode(data).decode()
