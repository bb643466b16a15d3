"""The audit log's head, told to the security log again and again, and what is wrong with the log.

Who can write the database anew cannot write what left it: the head in a log that is kept elsewhere,
and in the memory of a process that runs.
"""

from collections.abc import Sequence

from libs.common.log import get_logger, get_security_logger
from services.wallet.domain.audit import Head
from services.wallet.store.custody import CustodyStore
from services.wallet.store.rights import RightsStore

log = get_logger(__name__)
security = get_security_logger()


class AuditWatch:
    """The watch over the audit log's end and over what the database lets others do."""

    def __init__(self, store: CustodyStore, rights: RightsStore) -> None:
        self._store = store
        self._rights = rights
        #: The head that was told last.
        self._told: Head | None = None
        self._flaw = ""
        #: The first record that wallet did not write, in words.
        self._strangers = ""
        self._left: list[str] = []

    @property
    def warnings(self) -> Sequence[str]:
        """Return in words what a person has to look at."""
        flaws = [words for words in (self._flaw, self._strangers) if words]
        return [*flaws, *self._left]

    async def step(self) -> None:
        """Tell the head, and compare the log with the head that was told before."""
        head = await self._store.head()
        await self._compare(head)
        await self._judge(head)
        security.info("audit head", number=head.number, hash=head.hash.hex(), flaw=self._flaw)
        self._told = head
        await self._tell_rights()

    async def _compare(self, head: Head) -> None:
        told = self._told
        if told is None or not told.number:
            return
        if head.number < told.number or await self._store.hash_at(told.number) != told.hash:
            self._flaw = (
                f"the audit log was cut or written anew: it had record {told.number} as told"
            )
            security.critical(
                "audit log was cut or written anew",
                number=told.number,
                hash=told.hash.hex(),
                found=head.number,
            )

    async def _judge(self, head: Head) -> None:
        """Look at the records since the head that was told before: who wrote them?"""
        if self._told is None:
            return
        judge = await self._store.judge()
        async for page in self._store.seals(after=self._told.number, until=head.number):
            for words in judge.strangers(page):
                security.critical("record not written by wallet", found=words)
                self._strangers = self._strangers or words

    async def _tell_rights(self) -> None:
        left = await self._rights.findings()
        if left != self._left:
            log.warning("the database lets others get in the way", findings=left)
        self._left = left
