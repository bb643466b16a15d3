"""Use cases of operators for keys: one coroutine per verb."""

from dataclasses import dataclass

from libs.common.failpoints import failpoint
from libs.common.ids import FarmerId, OperationId
from libs.common.log import get_security_logger
from services.wallet.domain.audit import Act, Action, Findings, Head, Verifier
from services.wallet.domain.errors import (
    KeyExportOffError,
    NotHeldError,
    WrongAddressError,
)
from services.wallet.engine.signers import Signers
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.export import Parcel
from services.wallet.store.audit_check import AuditCheck
from services.wallet.store.custody import CustodyStore
from services.wallet.store.wallets import WalletStore

security = get_security_logger()


@dataclass(frozen=True, kw_only=True)
class Custody:
    """Use cases for keys, and the parts that they use."""

    wallets: WalletStore
    store: CustodyStore
    check: AuditCheck
    signers: Signers
    #: Wakeup to notify when operations may go on.
    wakeup: Wakeup
    #: Whether keys may leave the pool at all.
    may_export: bool

    async def release(self, operation_id: OperationId, *, actor: str) -> None:
        """Let an operation be signed for again.

        Raises NotHeldError when the operation does not wait for a person.
        """
        if not await self.store.release(operation_id, actor=actor):
            raise NotHeldError(f"operation {operation_id} does not wait for a person")
        security.warning("operation released", operation=str(operation_id), actor=actor)
        self.wakeup.notify()

    async def verify(
        self, expected: Head | None, *, begins_there: bool = False
    ) -> tuple[Verifier, Findings]:
        """Check the audit log, or the records after the noted one, and what they tell of.

        Return the verifier, which holds what is wrong with the log itself, and what is wrong
        between the log and the rows beside it.
        """
        verifier = Verifier(
            expected=expected, begins_there=begins_there, end=await self.store.head()
        )
        findings, since, judge = Findings(), None, await self.store.judge()
        async for page in self.store.records(after=verifier.reads_after):
            since = since or page[0].at
            findings.add("authenticators", judge.strangers(page))
            await self.check.records(page, findings)
            if not verifier.take(page):
                break
        verifier.finish()
        await self.check.rows(findings, since=since if begins_there else None)
        return verifier, findings

    async def export_key(
        self, farmer_id: FarmerId, *, address: str, reason: str, receiver_key: bytes, actor: str
    ) -> Parcel:
        """Return a farmer's key, encrypted to the receiver.

        The export is recorded before the key leaves. Raises KeyExportOffError, WalletNotFoundError,
        WrongAddressError, ReceiverKeyError.
        """
        if not self.may_export:
            raise KeyExportOffError("keys do not leave this pool: KEY_EXPORT is not set")
        wallet = await self.wallets.of_farmer(farmer_id)
        if wallet.address != address:
            raise WrongAddressError(f"this is not the address of farmer {farmer_id}")
        parcel = await self.signers.export(wallet.id, receiver_key)
        act = Act(
            actor=actor, action=Action.EXPORT_KEY, subject=f"wallet {wallet.id}", details=reason
        )
        await self.store.record(act)
        security.warning("key exported", wallet=str(wallet.id), actor=actor, why=reason)
        await failpoint("wallet.key.exported")
        return parcel
