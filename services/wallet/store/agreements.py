"""Agreements of farmers: recorded with their authenticators, and judged when they are read."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from libs.common.db.pool import Database, Record, Session
from libs.common.ids import WalletId
from libs.common.log import get_security_logger
from services.wallet.domain.agreements import Agreement, Giver, Proof, Terms
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import AgreementLimitError, AgreementTamperedError
from services.wallet.domain.orders import agreement_bytes
from services.wallet.store.orders import Orders
from services.wallet.store.versions import agreement_row, newest_number, recorded_numbers

security = get_security_logger()


class AgreementStore:
    """The table agreements."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def of_wallets(
        self, wallet_ids: Collection[WalletId], *, session: Session | None = None
    ) -> Mapping[WalletId, Sequence[Agreement]]:
        """Return the agreements of wallets, in the order of their numbers; none: an empty list.

        Raises AgreementTamperedError for a wallet of which wallet did not write all, or of which
        the newest is not the one that the audit log tells of.
        """
        source = session or self._database
        found = defaultdict[WalletId, list[Record]](list)
        for row in await source.many("agreements_of_wallets", list(wallet_ids)):
            found[WalletId(row["wallet_id"])].append(row)
        recorded = await recorded_numbers(
            source, Action.SET_AGREEMENT, [f"wallet {one}" for one in wallet_ids]
        )
        return {one: self._judged(one, found[one], recorded) for one in wallet_ids}

    async def of_wallet(
        self, wallet_id: WalletId, *, session: Session | None = None
    ) -> Sequence[Agreement]:
        """Return the agreements of one wallet. Raises AgreementTamperedError."""
        return (await self.of_wallets([wallet_id], session=session))[wallet_id]

    def _judged(
        self, wallet_id: WalletId, rows: Sequence[Record], recorded: Mapping[str, str]
    ) -> Sequence[Agreement]:
        is_whole = newest_number(rows) == recorded.get(f"wallet {wallet_id}", "0")
        if not (is_whole and self._orders.are_versions(rows, agreement_row)):
            security.critical("agreements not written by wallet", wallet=str(wallet_id))
            raise AgreementTamperedError("the farmer's agreements are not as wallet wrote them")
        return [_agreement(row) for row in rows]

    async def check_pace(
        self,
        session: Session,
        wallet_id: WalletId,
        *,
        most: int,
        proof: Proof,
    ) -> None:
        """Raise AgreementLimitError where a farmer had so many agreements within a day.

        What the farmer signs itself counts apart, and so does what it changes by a login: nobody
        uses that up for it, nor does a login use up anything of others.
        """
        rows = await session.many("agreements_of_wallets", [wallet_id])
        group = _paced_with(proof)
        lately = sum(row["is_late"] and _paced_with(Proof(row["proof"])) is group for row in rows)
        if lately >= most:
            raise AgreementLimitError(
                f"the farmer's agreement was changed {lately} times within a day, and no more "
                "changes may follow",
                metadata={"limit": str(most), "used": str(lately)},
            )


def _paced_with(proof: Proof) -> Proof | None:
    """Return with what an agreement is counted: None with all that is not the farmer's own."""
    return proof if proof in {Proof.SIGNATURE, Proof.OWNER} else None


async def insert_agreement(session: Session, agreement: Agreement, orders: Orders) -> Act:
    """Record an agreement; return the act, which belongs into the audit log."""
    values = {**vars(agreement), "proof": agreement.proof.value}
    await session.execute(
        "insert_agreement",
        agreement.wallet_id,
        agreement.number,
        agreement.stake_bps,
        agreement.pooler_bps,
        agreement.operator_bps,
        agreement.miners_bps,
        agreement.payout_threshold,
        agreement.payout_interval_seconds,
        agreement.harvest_blocks,
        agreement.given_by,
        agreement.proof.value,
        agreement.terms_version,
        agreement.terms_digest,
        agreement.signature,
        agreement.registered_at,
        agreement.effective_at,
        orders.mac(agreement_bytes(**values)),
    )
    return Act(
        actor=agreement.given_by,
        action=Action.SET_AGREEMENT,
        subject=f"wallet {agreement.wallet_id}",
        details=_details(agreement),
    )


def made_agreement(
    terms: Terms,
    giver: Giver,
    *,
    wallet_id: WalletId,
    number: int,
    operator_bps: int,
    registered_at: datetime,
    effective_at: datetime,
) -> Agreement:
    """Return the agreement that terms become when somebody gives them."""
    return Agreement(
        **vars(terms),
        wallet_id=wallet_id,
        number=number,
        operator_bps=operator_bps,
        given_by=giver.given_by,
        proof=giver.proof,
        signature=giver.signature,
        registered_at=registered_at,
        effective_at=effective_at,
    )


def _details(one: Agreement) -> str:
    """Return what the audit log says; queries/audit.sql holds rows against it."""
    return (
        f"{one.number} stake {one.stake_bps}, pooler {one.pooler_bps}, operator "
        f"{one.operator_bps}, miners {one.miners_bps}, threshold {one.payout_threshold}, interval "
        f"{one.payout_interval_seconds}, harvest {one.harvest_blocks}, terms {one.terms_version} "
        f"by {one.proof.value}, from {one.effective_at.isoformat()} on"
    )


def _agreement(row: Record) -> Agreement:
    values = {
        name: value for name, value in dict(row).items() if name not in {"mac", "is_late", "proof"}
    }
    return Agreement(**values, proof=Proof(row["proof"]))
