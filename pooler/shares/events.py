"""The events of miners' streams, as JSON has them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pooler.shares.domain.model import Miner, Part
from pooler.shares.streams import Event, event_of
from pooler.shares.work import Work
from pooler.shares.workers import LiveWorker


def moment(milliseconds: float) -> str:
    """Return a moment (unix ms) as RFC 3339 in UTC, with milliseconds."""
    told = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")


def job_event(works: Sequence[Work]) -> Event:
    """Return the event of new jobs; they replace those before."""
    return event_of("job", {"jobs": [work.content() for work in works]}, is_replaced=True)


def works_sent_event(index: int) -> Event:
    """Return the event of works that are sent: shares of the block are late from now on."""
    return event_of("works-sent", {"block": index})


def ban_event(miner: Miner) -> Event:
    """Return the event of a ban."""
    return event_of("ban", {"until": moment(miner.banned_until), "why": miner.ban_reason})


def gone_event(worker: LiveWorker) -> Event:
    """Return the event of a worker of whom nothing is heard any more."""
    content = {"worker": worker.row.name, "newestShareAt": moment(worker.newest_share * 1000)}
    return event_of("worker-gone", content)


def part_event(part: Part) -> Event:
    """Return the event of a miner's part of a block, which is final."""
    content = {"block": part.block, "points": str(part.points), "amount": str(part.amount)}
    return event_of("part", content)
