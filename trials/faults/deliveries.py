"""Comparison of what receivers of webhooks got with what registry recorded."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from devstack.webhook_receiver import Received
from trials.faults.checker import Findings

#: States in which nothing more is sent.
FINAL = frozenset({"delivered", "failed", "cancelled"})
DELIVERED = "delivered"
#: Seconds after a delivery's end within which a request may still come that was begun before.
_UNDER_WAY = 15.0
#: Differences that are told in words.
_TOLD = 5


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A webhook, and what is to become of what is sent to it."""

    #: UUID.
    id: str
    #: The path that requests come to.
    path: str
    #: The secret of its signatures.
    secret: str = field(repr=False)
    #: States in which its deliveries may end.
    ends: frozenset[str]
    #: Whether it is neither deleted nor disabled, so that it gets everything.
    is_whole: bool

    @property
    def takes(self) -> bool:
        """Tell whether its receiver takes everything sooner or later."""
        return self.is_whole and DELIVERED in self.ends


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What registry recorded of one notification at one webhook."""

    #: UUID of the webhook.
    hook_id: str
    #: UUID of the notification.
    id: str
    #: The state.
    state: str
    #: Attempts that were begun.
    attempts: int
    #: When it ended, in Unix seconds; None: it has not.
    ended_at: float | None


class _Faults:
    """Faults so far, by the field of Findings that counts them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.given_up: Counter[str] = Counter()
        self.notes: list[str] = []

    def add(self, kind: str, note: str) -> None:
        self.counts[kind] += 1
        self.notes.append(note)


def compare(
    hooks: Sequence[Hook],
    told: Sequence[str | None],
    deliveries: Iterable[Delivery],
    received: Sequence[Received],
) -> Findings:
    """Return what is not as promised.

    `told` are the ids of all that happened; None for what registry has not taken.
    """
    faults = _Faults()
    rows = {(row.hook_id, row.id): row for row in deliveries}
    done = 0
    for hook in hooks:
        came: dict[str, list[Received]] = {}
        for one in received:
            if one.path == hook.path:
                came.setdefault(one.id, []).append(one)
        _check_requests(hook, came, faults)
        _check_missing(hook, told, rows, faults)
        known = {row.id: row for row in rows.values() if row.hook_id == hook.id}
        for row in known.values():
            _judge(hook, row, came.get(row.id, []), faults)
        for stray in came.keys() - known.keys():
            faults.add("doubled", f"{hook.path}: {stray} was sent and is not recorded")
        done += sum(hook.takes and _is_taken(came.get(one or "", [])) for one in told)
    _check_bodies(received, faults)
    return Findings(
        asked=sum(hook.takes for hook in hooks) * len(told),
        done=done,
        lost=faults.counts["lost"],
        doubled=faults.counts["doubled"],
        left_open=faults.counts["left_open"],
        given_up=dict(faults.given_up),
        wrong=faults.counts["wrong"],
        notes=faults.notes[:_TOLD],
    )


def _check_missing(
    hook: Hook,
    told: Sequence[str | None],
    rows: Mapping[tuple[str, str], Delivery],
    faults: _Faults,
) -> None:
    for one in told if hook.is_whole else ():
        if one is None or (hook.id, one) not in rows:
            faults.add("lost", f"{hook.path}: {one or 'a notice'} was not queued")


def _judge(hook: Hook, row: Delivery, requests: Sequence[Received], faults: _Faults) -> None:
    about = f"{hook.path}: {row.id} is {row.state} after {row.attempts} attempts"
    if row.state not in FINAL:
        faults.add("left_open", about)
    elif hook.takes and (row.state == DELIVERED) is not _is_taken(requests):
        is_lost = row.state == DELIVERED
        faults.add("lost" if is_lost else "wrong", f"{about}, taken: {not is_lost}")
    elif row.state not in hook.ends:
        faults.given_up[row.state] += 1
    if len(requests) > row.attempts:
        faults.add("doubled", f"{about}, and came {len(requests)} times")
    late = [one for one in requests if row.ended_at and one.at > row.ended_at + _UNDER_WAY]
    if late:
        faults.add("doubled", f"{about}, and came {len(late)} times after its end")


def _check_requests(hook: Hook, came: Mapping[str, Sequence[Received]], faults: _Faults) -> None:
    for one in (one for requests in came.values() for one in requests):
        if not one.is_signed_by(hook.secret):
            faults.add("wrong", f"{hook.path}: {one.id} came with a wrong signature")


def _check_bodies(received: Sequence[Received], faults: _Faults) -> None:
    """Find notifications that were told in different words: a receiver could not drop a repeat."""
    bodies: dict[str, set[str]] = {}
    for one in received:
        bodies.setdefault(one.id, set()).add(one.body)
    for known, words in bodies.items():
        if len(words) > 1:
            faults.add("wrong", f"{known} came with {len(words)} bodies")


def _is_taken(requests: Sequence[Received]) -> bool:
    return any(200 <= one.status < 300 for one in requests)
