"""The registry as an aiohttp application: the table of endpoints, and who may use which."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from tiffin.distribution.access.gate import Action, Gate, Need, Visit
from tiffin.distribution.errors import Code, DistributionError
from tiffin.distribution.http.blobs import BlobEndpoints
from tiffin.distribution.http.call import Call
from tiffin.distribution.http.discovery import DiscoveryEndpoints
from tiffin.distribution.http.manifests import ManifestEndpoints
from tiffin.distribution.http.target import Kind, Target, parse_target

Endpoint = Callable[[Call], Awaitable[web.StreamResponse]]
VISITOR = web.RequestKey("visitor", str)
TARGET = web.RequestKey("target", Target)
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Rule:
    """An endpoint and the right that it needs, None where the endpoint itself looks."""

    handle: Endpoint
    action: Action | None


def table(
    blobs: BlobEndpoints, manifests: ManifestEndpoints, discovery: DiscoveryEndpoints
) -> Mapping[tuple[Kind, str], Rule]:
    """Return the endpoints by kind and method (spec, Endpoints)."""
    pull, push, delete = Action.PULL, Action.PUSH, Action.DELETE
    rules = {
        (Kind.BASE, "GET"): Rule(discovery.base, None),
        (Kind.CATALOG, "GET"): Rule(discovery.catalog, None),
        (Kind.BLOB, "GET"): Rule(blobs.read, pull),
        (Kind.BLOB, "DELETE"): Rule(blobs.delete, delete),
        (Kind.UPLOADS, "POST"): Rule(blobs.begin, push),
        (Kind.UPLOAD, "GET"): Rule(blobs.status, push),
        (Kind.UPLOAD, "PATCH"): Rule(blobs.append, push),
        (Kind.UPLOAD, "PUT"): Rule(blobs.finish, push),
        (Kind.UPLOAD, "DELETE"): Rule(blobs.cancel, push),
        (Kind.MANIFEST, "GET"): Rule(manifests.read, pull),
        (Kind.MANIFEST, "PUT"): Rule(manifests.write, push),
        (Kind.MANIFEST, "DELETE"): Rule(manifests.delete, delete),
        (Kind.TAGS, "GET"): Rule(discovery.tags, pull),
        (Kind.REFERRERS, "GET"): Rule(discovery.referrers, pull),
    }
    return rules | {
        (kind, "HEAD"): rule for (kind, method), rule in rules.items() if method == "GET"
    }


class Api:
    """Everything below `/v2/`; with `frozen` set, what would change content is refused with it."""

    def __init__(
        self, rules: Mapping[tuple[Kind, str], Rule], gate: Gate, *, frozen: str = ""
    ) -> None:
        self._rules = rules
        self._gate = gate
        self._frozen = frozen

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; DistributionError."""
        target = parse_target(request.path)
        if target is None:
            raise web.HTTPNotFound
        request[TARGET] = target
        rule = self._rules.get((target.kind, request.method))
        if rule is None:
            allowed = sorted(m for kind, m in self._rules if kind is target.kind)
            raise DistributionError(Code.UNSUPPORTED, headers={"Allow": ", ".join(allowed)})
        visit = await self._gate.admit(request)
        request[VISITOR] = visit.user
        self._authorize(request, target, rule, visit)
        if self._frozen and request.method in _CHANGING:
            raise DistributionError(Code.UNSUPPORTED, self._frozen)
        return await rule.handle(Call(request, target, visit))

    def _authorize(self, request: web.Request, target: Target, rule: Rule, visit: Visit) -> None:
        needs = [Need(target.name, rule.action)] if rule.action else []
        if rule.action is Action.PUSH and self._gate.wants_credentials:
            # Whoever pushes also looks; one token should do for both.
            needs.append(Need(target.name, Action.PULL))
        if not needs:
            missing = self._gate.wants_credentials and "Authorization" not in request.headers
        else:
            missing = not visit.may(target.name, needs[0].action)
        if not missing:
            return
        challenge = self._gate.challenge(
            request, needs, "insufficient_scope" if "Authorization" in request.headers else ""
        )
        detail = [{"name": need.repository, "action": need.action.value} for need in needs]
        if challenge:
            raise DistributionError(
                Code.UNAUTHORIZED, detail=detail, headers={"WWW-Authenticate": challenge}
            )
        raise DistributionError(Code.DENIED, detail=detail)


def error_response(error: DistributionError, request: web.Request) -> web.Response:
    """Return the answer that the spec prescribes for an error."""
    body = json.dumps({"errors": [error.to_json()]}).encode() + b"\n"
    headers = error.headers
    if error.status == 416 and "Range" in headers:
        headers["Location"] = request.path_qs
    return web.Response(
        body=body, status=error.status, content_type="application/json", headers=headers
    )
