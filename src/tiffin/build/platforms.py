"""The arguments that every Dockerfile may use without their being passed."""

from collections.abc import Mapping

from tiffin.spec.platform import Platform

PROXIES = frozenset(
    name for upper in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (upper, upper.lower())
)  # fmt: skip
"""Passed on to RUN without ARG, and left out of cache keys and history."""

SPECIAL = frozenset(
    ("SOURCE_DATE_EPOCH", "BUILDKIT_INLINE_CACHE", "BUILDKIT_MULTI_PLATFORM",
     "BUILDKIT_CONTEXT_KEEP_GIT_DIR", "BUILDKIT_SANDBOX_HOSTNAME", "BUILDKIT_SYNTAX",
     "BUILDKIT_DOCKERFILE_CHECK")
)  # fmt: skip
"""Arguments to the builder itself; they need not be consumed."""


def platform_arguments(build: Platform, target: Platform, stage: str) -> Mapping[str, str]:
    """Return BUILDPLATFORM, TARGETPLATFORM and their parts."""
    found: dict[str, str] = {"TARGETSTAGE": stage or "default"}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        found |= {
            f"{prefix}PLATFORM": str(platform), f"{prefix}OS": platform.os,
            f"{prefix}ARCH": platform.architecture, f"{prefix}VARIANT": platform.variant,
            f"{prefix}OSVERSION": "",
        }  # fmt: skip
    return found
