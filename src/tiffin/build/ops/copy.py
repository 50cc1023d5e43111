"""COPY and ADD: from the context, a stage, an image, a URL or a here-document."""

import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tiffin.build import archive
from tiffin.build.copier import Copier, CopyRules
from tiffin.build.fetch import Fetched
from tiffin.build.graph import Outcome, Result, Vertex
from tiffin.build.key import Key, Parts
from tiffin.build.ops.layered import base_part, draft, next_result
from tiffin.build.ownership import Owner, parse_chmod, resolve_owner
from tiffin.build.selection import Selected, content_parts, drop_excluded, select
from tiffin.build.worker import Worker
from tiffin.errors import InvalidArgument
from tiffin.fs.rooted import Root
from tiffin.spec.container_config import ContainerConfig
from tiffin.spec.digest import digest_bytes
from tiffin.spec.ids import new_id
from tiffin.spec.image import History

URL = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CopyOp:
    """All words are expanded. Inputs: the step before, then where the sources are."""

    keyword: str
    sources: tuple[str, ...]
    destination: str
    """Absolute; a trailing slash counts."""
    config: ContainerConfig
    created_by: str
    files: tuple[tuple[str, str], ...] = ()
    """(name, content) of here-documents."""
    urls: tuple[str, ...] = ()
    from_context: bool = True
    is_add: bool = False
    chown: str = ""
    chmod: str = ""
    parents: bool = False
    exclude: tuple[str, ...] = ()
    checksum: str = ""
    unpack: bool | None = None
    fetched: dict[str, Fetched] = field(default_factory=dict, compare=False)
    caches = True
    told_by_history = ""

    def cache_key(self, inputs: Sequence[Result], worker: Worker) -> Key:
        """Return the key: the step before, how to copy, and the content of what is copied."""
        how = [
            base_part(inputs), ("instruction", self.keyword), ("destination", self.destination),
            ("working directory", self.config.working_dir),
            ("owner", self.chown), ("mode", self.chmod),
            ("parents", str(self.parents)), ("exclude", repr(self.exclude)),
            ("unpack", str(self.unpack)), ("epoch", str(worker.epoch)),
        ]  # fmt: skip
        contents = [(f"heredoc {name}", digest_bytes(text.encode("utf-8", "surrogateescape")))
                    for name, text in self.files]  # fmt: skip
        downloads = [(f"url {url}", self._fetch(url, worker).sha256) for url in self.urls]
        return Key.of([*how, *contents, *downloads, *self._source_parts(inputs, worker)])

    def _source_parts(self, inputs: Sequence[Result], worker: Worker) -> Parts:
        if not self.sources:
            return ()
        tree = inputs[1].tree
        selector = repr((self.sources, self.exclude))
        known = worker.cache.tree_digest(tree.identity, selector) if tree.identity else None
        if known is not None:
            return known
        with tree.open() as root:
            parts = content_parts(root, self.sources, self.exclude, keyword=self.keyword,
                                  owners=not self.from_context)  # fmt: skip
        if tree.identity:
            worker.cache.remember_tree(tree.identity, selector, parts)
        return parts

    def run(self, inputs: Sequence[Result], worker: Worker, _vertex: Vertex) -> Outcome:
        """Copy into a new layer."""
        with draft(worker, inputs[0].chain_id) as layer:
            with layer.open() as target:
                self._fill(inputs, worker, target)
            return layer.commit()

    def result(
        self, inputs: Sequence[Result], outcome: Outcome, key: Key, created: str,
        worker: Worker, *, hit: bool,
    ) -> Result:  # fmt: skip
        """Return the step before with the new layer."""
        history = History(created=created, created_by=self.created_by)
        return next_result(inputs[0], outcome, key, worker, config=self.config, history=history,
                           hit=hit)  # fmt: skip

    def _fill(self, inputs: Sequence[Result], worker: Worker, target: Root) -> None:
        rules = self._rules(target)
        with ExitStack() as scope:
            selections: list[tuple[Root, Selected]] = []
            if self.sources:
                source = scope.enter_context(inputs[1].tree.open())
                found = [selected for pattern in self.sources
                         for selected in select(source, pattern, self.keyword)]  # fmt: skip
                selections += [(source, each) for each in drop_excluded(found, self.exclude)]
            several = len(selections) + len(self.files) + len(self.urls) > 1
            self._check_destination(several=several)
            into = several or self.destination.endswith("/")
            for source, selected in selections:
                worker.cancellation.check()
                self._copy_one(source, selected, target, rules, into_directory=into)
            for name, text in self.files:
                self._copy_text(name, text, worker, target, rules, into_directory=into)
            for url in self.urls:
                self._copy_download(url, worker, target, rules, into_directory=into)

    def _copy_one(
        self, source: Root, selected: Selected, target: Root, rules: CopyRules, *,
        into_directory: bool,
    ) -> None:  # fmt: skip
        unpacks = self.is_add if self.unpack is None else self.unpack
        if unpacks and not selected.is_directory and archive.is_archive(source, selected.path):
            Copier(source, target, rules).make_directories(self.destination)
            archive.unpack(source, selected.path, target, self.destination,
                           owner=rules.owner if self.chown else None)  # fmt: skip
            return
        Copier(source, target, rules).copy(selected, self.destination,
                                           into_directory=into_directory)  # fmt: skip

    def _copy_text(
        self, name: str, text: str, worker: Worker, target: Root, rules: CopyRules, *,
        into_directory: bool,
    ) -> None:  # fmt: skip
        with _scratch(worker) as directory:
            path = directory / "text"
            path.write_text(text, "utf-8", "surrogateescape", newline="")
            path.chmod(0o644)
            os.utime(path, ns=(0, worker.now_ns()))
            self._copy_path(path, name, target, rules, into_directory=into_directory)

    def _copy_download(
        self, url: str, worker: Worker, target: Root, rules: CopyRules, *, into_directory: bool
    ) -> None:
        found = self._fetch(url, worker)
        if into_directory and not found.name:
            raise InvalidArgument(f"cannot determine filename for source {url}")
        if self.unpack:
            with Root.at(found.path.parent) as source:
                self._copy_one(source, select(source, found.path.name)[0], target, rules,
                               into_directory=into_directory)  # fmt: skip
            return
        found.path.chmod(0o600)
        mtime_s = found.mtime_s if found.mtime_s is not None else 0
        os.utime(found.path, (mtime_s, mtime_s))
        self._copy_path(found.path, found.name, target, rules, into_directory=into_directory)

    def _copy_path(
        self, path: Path, name: str, target: Root, rules: CopyRules, *, into_directory: bool
    ) -> None:
        with Root.at(path.parent) as source:
            selected = Selected(path.name, posixpath.basename(name), os.stat(path))
            Copier(source, target, rules).copy(selected, self.destination,
                                               into_directory=into_directory)  # fmt: skip

    def _rules(self, target: Root) -> CopyRules:
        owner = resolve_owner(self.chown, target) if self.chown else None
        if owner is None and (self.from_context or self.files or self.urls):
            owner = Owner(0, 0)
        return CopyRules(owner=owner, mode=parse_chmod(self.chmod) if self.chmod else None,
                         exclude=self.exclude, parents=self.parents)  # fmt: skip

    def _check_destination(self, *, several: bool) -> None:
        if several and not self.destination.endswith("/"):
            raise InvalidArgument(
                f"When using {self.keyword} with more than one source file, the destination must "
                "be a directory and end with a /"
            )

    def _fetch(self, url: str, worker: Worker) -> Fetched:
        if url not in self.fetched:
            directory = worker.scratch / f"download-{new_id()[:12]}"
            directory.mkdir(mode=0o700)
            found = worker.fetcher.fetch(url, directory)
            if self.checksum and f"sha256:{found.sha256}" != self.checksum.lower():
                raise InvalidArgument(f"digest mismatch sha256:{found.sha256}: {self.checksum}")
            self.fetched[url] = found
        return self.fetched[url]


def is_git(source: str) -> bool:
    """Tell whether an ADD source or a remote context is a git repository."""
    if source.startswith(("git://", "git@", "github.com/")):
        return True
    return bool(URL.match(source)) and urlsplit(source).path.endswith(".git")


@contextmanager
def _scratch(worker: Worker) -> Iterator[Path]:
    directory = worker.scratch / f"files-{new_id()[:12]}"
    directory.mkdir(mode=0o700)
    yield directory
