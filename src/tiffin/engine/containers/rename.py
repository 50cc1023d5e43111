"""Rename a container."""

from tiffin.engine.containers import links
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.names import check_name
from tiffin.errors import Conflict, InvalidArgument, TiffinError


async def rename(context: Context, container: Container, new_name: str) -> None:
    """Give the container another name; Conflict if it is taken, InvalidArgument if it is none."""
    if not new_name:
        raise InvalidArgument("Neither old nor new names may be empty")
    new_name = check_name(new_name)
    async with container.lock:
        old_name = container.name
        if new_name == old_name:
            raise InvalidArgument("Renaming a container with the same name as its current name")
        try:
            context.registry.reserve(new_name, container.id)
        except Conflict as error:
            raise Conflict(f"Error when allocating new name: {error.message}") from error
        container.name = new_name
        try:
            await context.networks.rename(container.id, new_name)
            await context.store.saved(container)
        except (TiffinError, OSError):
            container.name = old_name
            context.registry.release(new_name)
            raise
        context.registry.release(old_name)
        links.rename(context.registry, container, old_name)
        container.changed()
    context.publish(container, "rename", oldName=f"/{old_name}")
