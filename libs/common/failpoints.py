"""Failpoints: named places at commit edges where a test makes the process fail.

The environment arms them: `FAILPOINTS=wallet.tx.signed=kill,wallet.tx.sent=raise`. `kill` ends the
process as SIGKILL would, `raise` raises FailpointError, `sleep:S` waits S seconds. `@N` after the
name means the N-th passage only (`wallet.tx.signed@3=kill`). While no failpoint is armed, a
failpoint costs one truth test.
"""

import asyncio
import os
import signal
from collections import Counter
from typing import NoReturn

_ACTIONS: dict[str, str] = {}
_PASSAGES: Counter[str] = Counter()


class FailpointError(Exception):
    """The error that an armed failpoint raises."""


def arm(specification: str) -> None:
    """Replace all armed failpoints by those of `name[@N]=action,...`.

    The empty string disarms all failpoints.
    """
    _ACTIONS.clear()
    _PASSAGES.clear()
    for item in filter(None, specification.split(",")):
        name, _, action = item.strip().partition("=")
        if action not in {"kill", "raise"} and not action.startswith("sleep:"):
            raise ValueError(f"unknown failpoint action {action!r} in {item!r}")
        _ACTIONS[name] = action


async def failpoint(name: str) -> None:
    """Run the action that is armed for `name`, if there is one."""
    if not _ACTIONS:
        return
    _PASSAGES[name] += 1
    action = _ACTIONS.get(name) or _ACTIONS.get(f"{name}@{_PASSAGES[name]}")
    if action == "kill":
        _kill()
    if action == "raise":
        raise FailpointError(name)
    if action is not None:
        await asyncio.sleep(float(action.removeprefix("sleep:")))


def _kill() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit  # never reached


arm(os.environ.get("FAILPOINTS", ""))
