"""All containers of this daemon, by id and by name."""

from bisect import bisect_left, insort
from collections.abc import Iterator

from tiffin.engine.containers.model import Container
from tiffin.errors import Conflict, InvalidArgument, NotFound


class Registry:
    """The index that names are resolved in; used in the event loop only."""

    def __init__(self) -> None:
        self._by_id: dict[str, Container] = {}
        self._ids: list[str] = []
        self._names: dict[str, str] = {}
        self._links: dict[str, list[str]] = {}
        """Names of the form `parent/alias` by the container that they mean."""

    def __iter__(self) -> Iterator[Container]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._by_id

    def get(self, identifier: str) -> Container | None:
        """Return the container with this full id."""
        return self._by_id.get(identifier)

    def reserve(self, name: str, identifier: str) -> None:
        """Give `name` to `identifier`; Conflict in Docker's words if another has it."""
        owner = self._names.get(name)
        if owner is not None and owner != identifier:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{owner}".'
                " You have to remove (or rename) that container to be able to reuse that name."
            )
        self._names[name] = identifier

    def release(self, name: str) -> None:
        """Make `name` free again."""
        self._names.pop(name, None)

    def link(self, name: str, target: str) -> None:
        """Give a container a further name, `parent/alias`, unless that is taken."""
        if self._names.setdefault(name, target) == target:
            insort(self._links.setdefault(target, []), name)

    def unlink(self, name: str) -> None:
        """Make the name of a link free again."""
        names = self._links.get(self._names.get(name, ""), [])
        if name in names:
            names.remove(name)
            del self._names[name]

    def link_names(self, identifier: str) -> list[str]:
        """Return the names that links give to a container."""
        return list(self._links.get(identifier, ()))

    def has_name(self, name: str) -> bool:
        """Tell whether the name is taken."""
        return name in self._names

    def add(self, container: Container) -> None:
        """Make a container, whose name is reserved, visible."""
        self._by_id[container.id] = container
        insort(self._ids, container.id)

    def remove(self, container: Container) -> None:
        """Forget a container and free its name."""
        if self._by_id.pop(container.id, None) is not None:
            del self._ids[bisect_left(self._ids, container.id)]
        if self._names.get(container.name) == container.id:
            del self._names[container.name]
        for alias, target in container.spec.links.items():
            self.unlink(f"{container.name}/{alias}")
            if target in self._by_id:
                self._by_id[target].changed()
        for name in self._links.pop(container.id, ()):
            del self._names[name]

    def find(self, reference: str) -> Container:
        """Return the container named by full id, name or unique start of an id.

        NotFound, or InvalidArgument if the start is not unique.
        """
        exact = self._by_id.get(reference)
        if exact is not None:
            return exact
        identifier = self._names.get(reference.removeprefix("/"))
        if identifier is not None and identifier in self._by_id:
            return self._by_id[identifier]
        if not reference:
            raise InvalidArgument('invalid name or ID supplied: ""')
        index = bisect_left(self._ids, reference)
        matches = [item for item in self._ids[index : index + 2] if item.startswith(reference)]
        if len(matches) > 1:
            raise InvalidArgument(f"multiple IDs found with provided prefix: {reference}")
        if not matches:
            raise NotFound(f"No such container: {reference}")
        return self._by_id[matches[0]]
