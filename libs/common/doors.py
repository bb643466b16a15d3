"""Doors through which only so many of each owner pass at a time, so that none fills the room."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(kw_only=True)
class _Door:
    """The door of one owner."""

    places: asyncio.Semaphore
    #: Those who wait or are within.
    users: int = 0


class Doors:
    """A door for each owner; an owner who floods one waits there, and others do not."""

    def __init__(self, most: int) -> None:
        """Let `most` of one owner pass at a time."""
        self._most = most
        self._doors: dict[Hashable, _Door] = {}

    @asynccontextmanager
    async def passing(self, owner: Hashable) -> AsyncIterator[None]:
        """Wait for a place behind the owner's door, and have it while the block runs."""
        door = self._doors.get(owner)
        if door is None:
            door = self._doors[owner] = _Door(places=asyncio.Semaphore(self._most))
        door.users += 1
        try:
            async with door.places:
                yield
        finally:
            door.users -= 1
            if not door.users:
                del self._doors[owner]

    @property
    def owners(self) -> int:
        """Return the number of owners who have anybody at their door."""
        return len(self._doors)
