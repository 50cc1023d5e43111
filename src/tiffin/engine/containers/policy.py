"""Restart policies, as pure decisions."""

from tiffin.api.types.resources import RestartPolicy

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 60.0
STEADY_AFTER_S = 10.0
"""A run of this length starts the back-off anew."""


def should_restart(
    policy: RestartPolicy,
    *,
    exit_code: int,
    restart_count: int,
    stopped_by_user: bool,
    daemon_started: bool = False,
) -> bool:
    """Tell whether a container that has ended is to be started again.

    At the daemon's own start `always` also covers those that a user had stopped.
    """
    if policy.name == "always":
        return daemon_started or not stopped_by_user
    if stopped_by_user:
        return False
    if policy.name == "unless-stopped":
        return True
    if policy.name == "on-failure":
        limit = policy.maximum_retry_count
        return exit_code != 0 and (not limit or restart_count < limit)
    return False


def next_delay(previous_s: float, ran_s: float) -> float:
    """Return the seconds to wait before the next start: 0.1, 0.2, … up to a minute."""
    if not previous_s or ran_s >= STEADY_AFTER_S:
        return FIRST_DELAY_S
    return min(previous_s * 2, LONGEST_DELAY_S)
