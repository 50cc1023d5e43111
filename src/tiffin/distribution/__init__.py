"""The server side of the OCI distribution protocol: `tiffin registry serve`.

It stands alone: neither the daemon nor the engine is needed, and neither of them imports it.

    http/      requests → calls, errors → answers; metrics, access log
    web/       the page for people
    access/    who is asking, and what they may do
    mirror/    the pull-through cache of another registry
    uploads blobs manifests tags referrers catalog garbage     what a registry is
    storage/   where objects are kept: the contract `driver.py`, a file system, S3

Specification: opencontainers/distribution-spec 1.1, `spec.md`; "end-N" are its endpoints.
"""
