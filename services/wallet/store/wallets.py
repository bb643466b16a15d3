"""Wallets, their sealed keys, and the balances of their addresses on the chain."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from libs.common.db.pool import Database, Record, Session
from libs.common.grpc.standing import Standing, standings_in
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId
from libs.common.log import get_security_logger
from libs.kale.amounts import WHOLE
from services.wallet.domain.agreements import Joining
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.budget import SPONSORED, SponsorTerms
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.errors import (
    SponsorshipBudgetError,
    TamperedError,
    WalletNotFoundError,
)
from services.wallet.domain.model import Balances, OperationKind, Wallet
from services.wallet.keys.seal import SealedKey
from services.wallet.store.agreements import insert_agreement, made_agreement
from services.wallet.store.custody import add_records, append, lock_audit_log
from services.wallet.store.orders import Orders
from services.wallet.store.owners import insert_owner_account

security = get_security_logger()

_NO_LIMIT = SponsorTerms()


class WalletStore:
    """The tables wallets, sealed_keys and accounts."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def insert_farmer(
        self,
        sealed: SealedKey,
        *,
        farmer_id: FarmerId,
        pooler_id: PoolerId,
        onboarding_id: OperationId,
        payout_address: str = "",
        stake_bps: int = WHOLE,
        joining: Joining | None = None,
        budget: SponsorTerms = _NO_LIMIT,
    ) -> bool:
        """Record a farmer's wallet with its onboarding; return False when the farmer has one.

        `payout_address` (may be empty) is the address that the wallet pays out to; `stake_bps` are
        the ten-thousandths of its balance that a plant may stake at most. Of `joining` the owner
        account and the terms are recorded. Raises
        SponsorshipBudgetError when the reserves of new farmers exceed `budget`.
        """
        return await self._insert(
            sealed,
            "farmer",
            farmer_id=farmer_id,
            pooler_id=pooler_id,
            onboarding_id=onboarding_id,
            payout_address=payout_address,
            stake_bps=stake_bps,
            joining=joining,
            budget=budget,
        )

    async def insert_pooler(
        self,
        sealed: SealedKey,
        *,
        pooler_id: PoolerId,
        onboarding_id: OperationId,
        address: str,
        budget: SponsorTerms = _NO_LIMIT,
    ) -> bool:
        """Record a pooler's custodial account; return False when the pooler has one.

        `address` is where the pooler is paid to. The treasury sponsors its reserve like a farmer's.
        Raises SponsorshipBudgetError when the reserves of new accounts exceed `budget`.
        """
        return await self._insert(
            sealed,
            "pooler",
            pooler_id=pooler_id,
            onboarding_id=onboarding_id,
            payout_address=address,
            budget=budget,
        )

    async def insert_treasury(self, sealed: SealedKey) -> bool:
        """Record the treasury; return False when there is one."""
        return await self._insert(sealed, "treasury")

    async def _insert(
        self,
        sealed: SealedKey,
        kind: str,
        *,
        farmer_id: FarmerId | None = None,
        pooler_id: PoolerId | None = None,
        onboarding_id: OperationId | None = None,
        payout_address: str = "",
        stake_bps: int = WHOLE,
        joining: Joining | None = None,
        budget: SponsorTerms = _NO_LIMIT,
    ) -> bool:
        async with self._database.transaction() as session:
            moment = await moment_of(session)
            row = await session.one(
                "insert_wallet",
                sealed.wallet_id,
                kind,
                farmer_id,
                pooler_id,
                sealed.address,
                sealed.kek_id,
                sealed.wrapped_data_key,
                sealed.nonce,
                sealed.sealed_seed,
                onboarding_id,
                payout_address,
                moment,
                self._orders.for_wallet(
                    row_id=sealed.wallet_id,
                    kind=kind,
                    farmer_id=farmer_id,
                    pooler_id=pooler_id,
                    address=sealed.address,
                    stake_bps=stake_bps,
                ),
                onboarding_id
                and self._orders.for_own_operation(
                    OperationKind.ONBOARD, row_id=onboarding_id, wallet_id=sealed.wallet_id
                ),
                self._first_address(sealed, payout_address, moment),
                stake_bps,
            )
            if row is None:
                return False
            acts = [*_made(sealed, kind, payout_address)]
            if joining is not None:
                acts += await self._join(session, sealed.wallet_id, joining, moment)
            # Whoever has this lock sees all wallets that others have made.
            await lock_audit_log(session)
            await _check_sponsored(session, pooler_id, budget)
            await add_records(session, acts, self._orders)
        return True

    def _first_address(self, sealed: SealedKey, address: str, moment: datetime) -> bytes:
        """Return the authenticator of the address that a new wallet pays out to, if any."""
        return self._orders.for_payout_address(
            wallet_id=sealed.wallet_id,
            number=1,
            address=address,
            registered_at=moment,
            effective_at=moment,
        )

    async def _join(
        self, session: Session, wallet_id: WalletId, joining: Joining, moment: datetime
    ) -> list[Act]:
        """Record the first owner account and agreement of a new wallet; both count at once."""
        acts, giver = list[Act](), joining.giver
        if joining.owner_account:
            _, act = await insert_owner_account(
                session,
                self._orders,
                wallet_id,
                joining.owner_account,
                number=1,
                registered_at=moment,
                wait=0.0,
                actor=giver.given_by,
            )
            acts.append(act)
        if joining.terms is not None:
            first = made_agreement(
                joining.terms,
                giver,
                wallet_id=wallet_id,
                number=1,
                operator_bps=joining.operator_bps,
                registered_at=moment,
                effective_at=moment,
            )
            acts.append(await insert_agreement(session, first, self._orders))
        return acts

    async def lock(self, session: Session, farmer_id: FarmerId) -> Record:
        """Return the row of a farmer's wallet; nobody else changes it until the transaction ends.

        Raises WalletNotFoundError, and TamperedError for a row that wallet did not write.
        """
        row = await session.one("lock_wallet_of_farmer", farmer_id)
        if row is None:
            raise WalletNotFoundError(f"farmer {farmer_id} has no wallet")
        self._check(row)
        return row

    async def change_stake(self, session: Session, row: Record, stake_bps: int, actor: str) -> None:
        """Set what a farmer may stake at most (ten-thousandths), by its wallet's locked row."""
        if row["stake_bps"] == stake_bps:
            return
        names = ("kind", "farmer_id", "pooler_id", "address")
        mac = self._orders.for_wallet(
            row_id=row["id"], stake_bps=stake_bps, **{name: row[name] for name in names}
        )
        await session.execute("set_stake_limit", row["id"], stake_bps, mac)
        act = Act(
            actor=actor,
            action=Action.SET_STAKE_LIMIT,
            subject=f"wallet {row['id']}",
            details=f"{row['stake_bps']} to {stake_bps} ten-thousandths",
        )
        await append(session, [act], self._orders)

    async def by_id(self, wallet_id: WalletId) -> Wallet | None:
        """Return a wallet by its id, the treasury's included."""
        return self._optional(await self._database.one("wallet_by_id", wallet_id))

    async def by_farmer(self, farmer_id: FarmerId) -> Wallet | None:
        """Return a farmer's wallet; None when there is none."""
        return self._optional(await self._database.one("wallet_by_farmer", farmer_id))

    async def by_pooler(self, pooler_id: PoolerId) -> Wallet | None:
        """Return a pooler's custodial account; None when there is none."""
        return self._optional(await self._database.one("wallet_by_pooler", pooler_id))

    async def of_farmer(self, farmer_id: FarmerId) -> Wallet:
        """Return a farmer's wallet, which has to exist.

        Raises WalletNotFoundError.
        """
        wallet = await self.by_farmer(farmer_id)
        if wallet is None:
            raise WalletNotFoundError(f"farmer {farmer_id} has no wallet")
        return wallet

    async def to_pause(self, farmer_id: FarmerId) -> tuple[WalletId, bool]:
        """Return a farmer's wallet by its row, to stop what it signs; tell whether wallet wrote it.

        Raises WalletNotFoundError.
        """
        (row,) = await self._database.many("owners_of_farmers", [farmer_id])
        if row["id"] is None:
            raise WalletNotFoundError(f"farmer {farmer_id} has no wallet")
        return WalletId(row["id"]), self._orders.are_open and self._orders.is_wallet(row)

    async def by_address(self, address: str) -> Wallet | None:
        """Return a farmer's wallet by its address; None when there is none."""
        return self._optional(await self._database.one("wallet_by_address", address))

    async def treasury(self) -> Wallet | None:
        """Return the treasury; None before it was made."""
        return self._optional(await self._database.one("treasury"))

    async def page(
        self, *, pooler_id: PoolerId | None, after: UUID | None, limit: int
    ) -> list[Wallet]:
        """Return farmers' wallets in the order of their ids."""
        rows = await self._database.many("list_wallets", pooler_id, after, limit)
        return [_wallet(row) for row in rows]

    async def idle(
        self, pooler_id: PoolerId, farmers: Sequence[FarmerId], *, hours: int, limit: int
    ) -> list[Wallet]:
        """Return wallets of a pooler's farmers (none named: of all) who never planted.

        They were made so many hours ago or earlier, and nothing of them is open or paused. Rows
        that wallet did not write are left out, and so is who sent a plant that failed by another's
        word than wallet's.
        """
        rows = await self._database.many("idle_wallets", pooler_id, list(farmers), hours, limit)
        wallets = [_wallet(row) for row in rows if self._orders.is_wallet(row)]
        sent = await self._database.many("sent_plants", [one.id for one in wallets])
        doubted = {row["wallet_id"] for row in sent if not self._orders.is_end(row)}
        return [one for one in wallets if one.id not in doubted]

    async def of_farmers(self, farmer_ids: Sequence[FarmerId]) -> dict[FarmerId, Wallet]:
        """Return the farmers' wallets; a farmer without a wallet is absent."""
        rows = await self._database.many("wallets_of_farmers", list(farmer_ids))
        return {FarmerId(row["farmer_id"]): _wallet(row) for row in rows}

    async def ids_of_farmers(self, farmer_ids: Sequence[FarmerId]) -> dict[FarmerId, WalletId]:
        """Return the ids of the farmers' wallets; a farmer without a wallet is absent."""
        rows = await self._database.many("wallet_ids_of_farmers", list(farmer_ids))
        return {FarmerId(row["farmer_id"]): WalletId(row["id"]) for row in rows}

    async def addresses_after(
        self, after: WalletId | None, limit: int
    ) -> list[tuple[WalletId, str]]:
        """Return ids and addresses of the next wallets in the order of their ids.

        The treasury's wallet is among them.
        """
        rows = await self._database.many("wallets_after", after, limit)
        return [(WalletId(row["id"]), row["address"]) for row in rows]

    async def sealed_keys(self, wallet_ids: Sequence[WalletId]) -> dict[WalletId, SealedKey]:
        """Return the wallets' keys, sealed."""
        rows = await self._database.many("sealed_keys", list(wallet_ids))
        return {WalletId(row["wallet_id"]): SealedKey(**dict(row)) for row in rows}

    async def owners_of_farmers(self, ids: Sequence[str]) -> set[str]:
        """Return the poolers (ids) of these farmers; "" is among them when one has no wallet."""
        return await self._owners("owners_of_farmers", ids)

    async def owners_of_wallets(self, ids: Sequence[str]) -> set[str]:
        """Return the poolers (ids) of these wallets; "" is among them when one is nobody's."""
        return await self._owners("owners_of_wallets", ids)

    async def owners_of_operations(self, ids: Sequence[str]) -> set[str]:
        """Return the poolers (ids) of these operations; "" is among them when one is nobody's."""
        return await self._owners("owners_of_operations", ids)

    async def standings_of_farmers(self, ids: Sequence[str]) -> set[Standing]:
        """Return what limits these farmers, or their poolers."""
        row = await self._database.one("standings_of_farmers", list(map(UUID, ids)))
        return standings_in(None if row is None else dict(row))

    async def wallets_of_farmers(self, ids: Sequence[str]) -> list[WalletId | None]:
        """Return the wallets of these farmers; None for what wallet has not written."""
        return await self._known("owners_of_farmers", ids)

    async def known_wallets(self, ids: Sequence[str]) -> list[WalletId | None]:
        """Return these wallets; None for what wallet has not written."""
        return await self._known("owners_of_wallets", ids)

    async def wallets_of_operations(self, ids: Sequence[str]) -> list[WalletId | None]:
        """Return the wallets of these operations; None for what wallet has not written."""
        return await self._known("owners_of_operations", ids)

    async def _known(self, query: str, ids: Sequence[str]) -> list[WalletId | None]:
        rows = await self._database.many(query, list(map(UUID, ids)))
        return [
            WalletId(row["id"]) if row["id"] is not None and self._orders.is_wallet(row) else None
            for row in rows
        ]

    async def _owners(self, query: str, ids: Sequence[str]) -> set[str]:
        """Return owners by rows that wallet wrote: any other row is nobody's."""
        rows = await self._database.many(query, list(map(UUID, ids)))
        return {
            str(row["pooler_id"])
            if row["pooler_id"] is not None and self._orders.is_wallet(row)
            else ""
            for row in rows
        }

    def _optional(self, row: Record | None) -> Wallet | None:
        """Return the wallet of a row. Raises TamperedError for a row that wallet did not write."""
        if row is None:
            return None
        self._check(row)
        return _wallet(row)

    def _check(self, row: Record) -> None:
        """Raise TamperedError for a row that wallet did not write."""
        if not self._orders.is_wallet(row):
            raise TamperedError(f"the row of wallet {row['id']} was not written by wallet")

    async def save_accounts(self, states: Mapping[WalletId, AccountState], ledger: int) -> None:
        """Save the account states of wallets as of a ledger; pass over older states."""
        accounts = list(states.values())
        await self._database.execute(
            "save_accounts",
            list(states),
            [account.exists for account in accounts],
            [account.has_trustline for account in accounts],
            [account.xlm for account in accounts],
            [account.kale for account in accounts],
            [account.reserves for account in accounts],
            ledger,
        )


async def moment_of(session: Session) -> datetime:
    """Return the moment of a transaction, by the database's clock."""
    row = await session.one("moment")
    if row is None:
        raise LookupError("the database told no time")
    moment: datetime = row["moment"]
    return moment


async def _check_sponsored(
    session: Session, pooler_id: PoolerId | None, terms: SponsorTerms
) -> None:
    """Raise SponsorshipBudgetError when a day's new accounts, this one included, are too many."""
    if pooler_id is None:  # the pool's own account
        return
    row = await session.one("sponsored_lately", pooler_id)
    if row is None:
        raise LookupError("the database counted no wallets")
    for whose, budget in (("pooler", terms.pooler), ("pool", terms.pool)):
        used = SPONSORED * int(row[whose])
        if budget and used > budget:
            security.warning("reserves are used up", of=whose, pooler=str(pooler_id), limit=budget)
            raise SponsorshipBudgetError(
                f"new accounts of the {whose} may take {budget} stroops of reserves in 24 hours",
                metadata={"limit": str(budget), "used": str(used - SPONSORED), "of": whose},
            )


def _made(sealed: SealedKey, kind: str, payout_address: str) -> Iterator[Act]:
    yield created(sealed, kind)
    if payout_address:
        yield _own_act(sealed, Action.SET_PAYOUT_ADDRESS, f"{payout_address} at once")


def created(sealed: SealedKey, kind: str) -> Act:
    """Return the act for the audit log that a wallet's key was made."""
    return _own_act(sealed, Action.CREATE_WALLET, f"{kind} {sealed.address}")


def _own_act(sealed: SealedKey, action: Action, details: str) -> Act:
    subject = f"wallet {sealed.wallet_id}"
    return Act(actor="wallet", action=action, subject=subject, details=details)


def balances_of(state: AccountState, ledger: int) -> Balances:
    """Return the state of an account on the chain as a wallet's balances."""
    return Balances(
        is_funded=state.exists,
        has_trustline=state.has_trustline,
        xlm=state.xlm,
        kale=state.kale,
        reserves=state.reserves,
        ledger=ledger,
    )


def _wallet(row: Record) -> Wallet:
    return Wallet(
        id=WalletId(row["id"]),
        farmer_id=row["farmer_id"],
        pooler_id=row["pooler_id"],
        address=row["address"],
        is_ready=row["is_ready"],
        balances=Balances(
            is_funded=row["is_funded"],
            has_trustline=row["has_trustline"],
            xlm=row["xlm_stroops"],
            kale=row["kale_stroops"],
            reserves=row["reserves"],
            ledger=row["ledger"],
        ),
        created_at=row["created_at"],
        stake_bps=row["stake_bps"],
    )
