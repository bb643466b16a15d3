"""What a wallet process sees that others are to be told of; the database notices the rest."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.common.db.pool import Database

#: Seconds after which a condition that no process has reported is over.
LAPSE = 60.0


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A condition that stands now."""

    #: By which it is known again.
    name: str
    #: 'treasury' or 'node'.
    kind: str
    #: What there is to know, by name.
    facts: Mapping[str, str]


class NoticeStore:
    """The tables conditions and notices."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(self, conditions: Sequence[Condition], *, unknown: Sequence[str]) -> None:
        """Report what stands; what nobody reports any more is over.

        Conditions of the kinds in `unknown` stay as they are: this process cannot tell.
        """
        if not conditions and not unknown:  # as nearly always
            await self._database.execute("end_conditions", LAPSE)
            return
        async with self._database.transaction() as session:
            await session.execute(
                "report_conditions",
                [one.name for one in conditions],
                [one.kind for one in conditions],
                [json.dumps(dict(one.facts)) for one in conditions],
            )
            await session.execute("keep_conditions", list(unknown))
            await session.execute("end_conditions", LAPSE)

    async def tell_effective_addresses(self) -> None:
        """Tell of payout addresses that count from now on."""
        await self._database.one("tell_effective_addresses")

    async def forget(self) -> int:
        """Forget notices of more than a month ago; return how many those were."""
        row = await self._database.one("forget_notices")
        return 0 if row is None else row["forgotten"]
