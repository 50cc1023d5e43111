"""`docker top`: the container's processes, as ps on the host would list them."""

from tiffin.api.types.containers import TopResponse
from tiffin.engine.bundle.namespaces import cgroups_path
from tiffin.engine.containers import ps_options
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.status import Status
from tiffin.errors import Conflict
from tiffin.linux.cgroups.hierarchy import open_group
from tiffin.linux.processes import Process, read_process, threads


def top(context: Context, container: Container, arguments: str) -> TopResponse:
    """List the processes. Blocking; Conflict unless it runs, InvalidArgument for the arguments."""
    listing = ps_options.parse(arguments)
    if container.status is Status.RESTARTING:
        raise Conflict(
            f"Container {container.id} is restarting, wait until the container is running"
        )
    if not container.alive:
        raise Conflict(f"container {container.id} is not running")
    group = open_group(
        cgroups_path(container.id, context.roots.tag, container.spec.host.cgroup_parent)
    )
    processes = _processes(sorted(group.pids()), each_thread=listing.threads)
    if not processes:
        raise Conflict(f"container {container.id} is not running")
    return TopResponse(
        titles=[title for title, _ in listing.columns],
        processes=ps_options.table(listing, processes),
    )


def _processes(pids: list[int], *, each_thread: bool) -> list[Process]:
    found = (
        read_process(pid, tid) for pid in pids for tid in (threads(pid) if each_thread else [0])
    )
    return [process for process in found if process is not None]
