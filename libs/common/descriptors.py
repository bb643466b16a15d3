"""The process's open files and connections: its limit, raised at the start, and who gets them."""

import resource

#: As many as we ask for; systems with no limit at all would give a billion.
_WANTED = 65_536
#: What a process keeps for itself besides its connections to the database: log, certificates,
#: nodes, other services, probes of its own health.
_OWN = 200


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one; return what is in force now.

    The usual soft limit is 1,024, for the sake of programs that use select(). We do not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return limit()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS takes no more than OPEN_MAX, whatever the hard limit says
        return limit()
    return wanted


def limit() -> int:
    """Return the soft limit that is in force."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _WANTED if soft == resource.RLIM_INFINITY else soft


def connections_for_callers(wanted: int, *, database: int, of: int) -> int:
    """Return how many connections callers may have, of so many open files in all.

    What the process itself needs comes first: a service that cannot open a connection to its
    database, or its renewed certificate, is of no use to any caller.
    """
    left = max(of - database - _OWN, of // 2)
    return max(1, min(wanted, left))
