"""Agreements, owner accounts and addresses of a farmer as they change: each by the right word.

What is there is read, judged and changed under the lock of the wallet's row, so that a signature
over what was there is used once.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.common.db.pool import Database, Record, Session
from libs.common.ids import FarmerId, PoolerId, WalletId
from libs.kale.signed_message import is_signed_by
from services.wallet.domain.agreements import (
    Agreement,
    AgreementRules,
    Giver,
    LeaveWish,
    Objection,
    OwnerWish,
    Parties,
    PayoutWish,
    Place,
    Proof,
    Terms,
    TermsWish,
    Wish,
    address_text,
    address_wait,
    agreement_text,
    check_fees,
    check_offered,
    check_own_change,
    effective_from,
    in_force,
    leave_text,
    objection_text,
    owner_text,
    owner_wait,
)
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import (
    AgreementLimitError,
    NothingAnnouncedError,
    OwnerAccountMissingError,
    SignatureWrongError,
    StakeAboveAgreementError,
)
from services.wallet.domain.withdrawals import AddressPast, WithdrawalTerms
from services.wallet.store.agreements import AgreementStore, insert_agreement, made_agreement
from services.wallet.store.custody import append
from services.wallet.store.orders import Orders
from services.wallet.store.owners import OwnerAccounts, OwnerStore, insert_owner_account
from services.wallet.store.versions import moments_after
from services.wallet.store.wallets import WalletStore
from services.wallet.store.withdrawals import WithdrawalStore


@dataclass(frozen=True, kw_only=True)
class Held:
    """What is there of a farmer, as wallet has sealed it."""

    #: Its wallet's row.
    row: Record
    #: In the order of their numbers.
    agreements: Sequence[Agreement]
    #: The account that speaks for it.
    owner: OwnerAccounts
    #: Where it is paid out.
    addresses: AddressPast
    #: When that was so.
    now: datetime
    #: How often it wanted to leave, and what it signed the last time.
    leave_wishes: int = 0
    leave_signature: bytes = b""

    @property
    def wallet_id(self) -> WalletId:
        """Return its wallet."""
        return WalletId(self.row["id"])

    @property
    def place(self) -> Place:
        """Return what is newest, for what is signed."""
        return Place(
            agreement=self.agreements[-1].number if self.agreements else 0,
            address=self.addresses.number,
            owner=self.owner.number,
        )

    @property
    def parties(self) -> Parties:
        """Return whom a signed text is about. Raises OwnerAccountMissingError."""
        if not self.owner.address:
            raise OwnerAccountMissingError("the farmer has no owner account whose signature counts")
        return Parties(
            farmer_id=FarmerId(self.row["farmer_id"]),
            pooler_id=PoolerId(self.row["pooler_id"]),
            account=self.row["address"],
            owner=self.owner.address,
        )


class OwnSayStore:
    """What farmers have agreed to, who speaks for them, and where they are paid out."""

    def __init__(
        self,
        database: Database,
        orders: Orders,
        *,
        wallets: WalletStore,
        agreements: AgreementStore,
        owners: OwnerStore,
        withdrawals: WithdrawalStore,
        rules: AgreementRules,
        terms: WithdrawalTerms,
    ) -> None:
        self._database = database
        self._orders = orders
        self._wallets = wallets
        self._agreements = agreements
        self._owners = owners
        self._withdrawals = withdrawals
        self.rules = rules
        self._terms = terms

    # Reading ----------------------------------------------------------------------------------

    async def held(self, farmer_id: FarmerId) -> Held:
        """Return what is there of a farmer, for a text to sign.

        Raises WalletNotFoundError, TamperedError, AgreementTamperedError,
        OwnerAccountTamperedError, PayoutAddressTamperedError.
        """
        async with self._database.transaction() as session:
            return await self._held(session, farmer_id)

    async def _held(self, session: Session, farmer_id: FarmerId) -> Held:
        row = await self._wallets.lock(session, farmer_id)
        wallet_id = WalletId(row["id"])
        wish = await session.one("newest_leave_wish", wallet_id)
        return Held(
            row=row,
            agreements=await self._agreements.of_wallet(wallet_id, session=session),
            owner=await self._owners.accounts(wallet_id, session=session),
            addresses=await self._withdrawals.past_of(wallet_id, session=session),
            now=(await moments_after(session, None)).now,
            leave_wishes=0 if wish is None else wish["number"],
            leave_signature=b"" if wish is None else wish["signature"],
        )

    # Agreements -------------------------------------------------------------------------------

    async def agree(
        self,
        farmer_id: FarmerId,
        terms: Terms,
        giver: Giver,
        *,
        address: str | None = None,
    ) -> Agreement:
        """Record terms; a signature also names the `address` (None: as it is) to be paid to.

        Repeating the newest changes nothing. Raises FeeTooHighError, TermsNotOfferedError,
        AgreementLimitError, OwnerAccountMissingError and SignatureWrongError; for a login of the
        owner account NoTermsError, OwnerMayNotError and TermsAnnouncedError.
        """
        async with self._database.transaction() as session:
            held = await self._held(session, farmer_id)
            operator_bps = self._operator_bps(held, terms, giver)
            known = _same(held, terms, giver, operator_bps)
            if known is not None:
                return known
            if giver.proof is Proof.SIGNATURE:
                wish = TermsWish(terms=terms, address=address)
                giver = _signed(held, text_of(held, wish, self.rules), giver)
            await self._agreements.check_pace(
                session, held.wallet_id, most=self.rules.changes, proof=giver.proof
            )
            made = await self._insert(session, held, terms, giver, operator_bps)
            if terms.stake_bps < held.row["stake_bps"]:
                await self._wallets.change_stake(session, held.row, terms.stake_bps, giver.given_by)
            if address is not None and address != held.addresses.newest:
                await self._pay_to(session, held, address, giver)
        return made

    def _operator_bps(self, held: Held, terms: Terms, giver: Giver) -> int:
        """Return the operator's part by these terms: the one in force where a login changes them.

        Raises the errors of `check_own_change` for a login, and FeeTooHighError for others.
        """
        if giver.proof is Proof.OWNER:
            return check_own_change(terms, held.agreements, held.now).operator_bps
        check_fees(terms, self.rules)
        return self.rules.operator_bps

    async def _insert(
        self, session: Session, held: Held, terms: Terms, giver: Giver, operator_bps: int
    ) -> Agreement:
        newest = held.agreements[-1] if held.agreements else None
        moments = await moments_after(session, newest.registered_at if newest else None)
        made = made_agreement(
            terms,
            giver,
            wallet_id=held.wallet_id,
            number=held.place.agreement + 1,
            operator_bps=operator_bps,
            registered_at=moments.now,
            effective_at=effective_from(
                terms,
                giver,
                held.agreements,
                rules=self.rules,
                stake_bps=held.row["stake_bps"],
                now=moments.now,
                next_block=moments.next_block,
            ),
        )
        await append(session, [await insert_agreement(session, made, self._orders)], self._orders)
        return made

    async def set_stake(self, farmer_id: FarmerId, stake_bps: int, *, actor: str) -> None:
        """Set what a farmer may stake at most, as far as it has agreed to.

        Raises StakeAboveAgreementError, WalletNotFoundError and TamperedError.
        """
        async with self._database.transaction() as session:
            row = await self._wallets.lock(session, farmer_id)
            wallet_id = WalletId(row["id"])
            agreements = await self._agreements.of_wallet(wallet_id, session=session)
            moments = await moments_after(session, None)
            agreed = in_force(agreements, moments.now)
            if agreed is not None and stake_bps > agreed.stake_bps:
                raise StakeAboveAgreementError.above(agreed.stake_bps)
            await self._wallets.change_stake(session, row, stake_bps, actor)

    # Addresses --------------------------------------------------------------------------------

    async def set_address(self, farmer_id: FarmerId, address: str, giver: Giver) -> datetime:
        """Register where a farmer is paid out; return from when on that counts.

        Raises PayoutAddressNotYoursError, PayoutAddressLimitError, PayoutAddressTamperedError, and
        for a signature OwnerAccountMissingError and SignatureWrongError.
        """
        async with self._database.transaction() as session:
            held = await self._held(session, farmer_id)
            # A repeat is answered without its signature, which was used. Nothing is no repeat.
            is_repeat = held.addresses.number > 0 and held.addresses.newest == address
            if giver.proof is Proof.SIGNATURE and not is_repeat:
                text = text_of(held, PayoutWish(address=address), self.rules)
                giver = _signed(held, text, giver)
            return await self._pay_to(session, held, address, giver)

    async def _pay_to(self, session: Session, held: Held, address: str, giver: Giver) -> datetime:
        pooler_id = PoolerId(held.row["pooler_id"])
        wait = address_wait(
            giver,
            address,
            has_owner=bool(held.owner.address or held.owner.pending),
            farms_for_itself=await self._owners.farms_for_itself(pooler_id, session=session),
            has_had_one=held.addresses.has_had_one,
            cooling=self._terms.cooling,
            rules=self.rules,
        )
        return await self._withdrawals.change_address(
            session,
            held.wallet_id,
            address,
            cooling=wait,
            actor=giver.given_by,
            most=self._terms.changes,
            how=_how(held, giver),
        )

    # Owner accounts ---------------------------------------------------------------------------

    async def set_owner(self, farmer_id: FarmerId, owner: str, giver: Giver) -> datetime:
        """Set the account that speaks for a farmer; return from when on it does.

        Raises OwnerAccountNotYoursError, AgreementLimitError, and for a signature
        OwnerAccountMissingError and SignatureWrongError.
        """
        wait = owner_wait(giver, self.rules)
        async with self._database.transaction() as session:
            held = await self._held(session, farmer_id)
            if held.owner.pending is None and held.owner.address == owner:
                return (await moments_after(session, None)).now
            if held.owner.pending == owner and held.owner.pending_at and wait:
                return held.owner.pending_at
            if giver.proof is Proof.SIGNATURE:
                giver = _signed(held, text_of(held, OwnerWish(owner=owner), self.rules), giver)
            if held.owner.late >= self.rules.changes:
                raise AgreementLimitError(
                    f"the farmer has had {held.owner.late} owner accounts within a day",
                    metadata={"limit": str(self.rules.changes), "used": str(held.owner.late)},
                )
            return await self._insert_owner(session, held, owner, giver, wait=wait)

    async def object_to(self, farmer_id: FarmerId, giver: Giver) -> None:
        """Take back what operators have announced, by the owner account's signature.

        Raises NothingAnnouncedError, OwnerAccountMissingError and SignatureWrongError.
        """
        async with self._database.transaction() as session:
            held = await self._held(session, farmer_id)
            giver = _signed(held, text_of(held, Objection(), self.rules), giver)
            if held.addresses.now.pending is not None:
                await self._withdrawals.change_address(
                    session,
                    held.wallet_id,
                    held.addresses.now.address,
                    cooling=0.0,
                    actor=giver.given_by,
                    # What takes back has no pace of its own.
                    most=held.addresses.number + 1,
                    how=_how(held, giver),
                )
            if held.owner.pending is not None:
                await self._insert_owner(session, held, held.owner.address, giver, wait=0.0)

    async def wish_to_leave(self, farmer_id: FarmerId, giver: Giver) -> bool:
        """Record that a farmer leaves, by the owner account's signature; registry carries it out.

        Return False when this signature was used for that last. Raises OwnerAccountMissingError and
        SignatureWrongError.
        """
        async with self._database.transaction() as session:
            held = await self._held(session, farmer_id)
            if giver.signature is not None and giver.signature == held.leave_signature:
                return False
            giver = _signed(held, text_of(held, LeaveWish(), self.rules), giver)
            number = held.leave_wishes + 1
            await session.execute(
                "insert_leave_wish", held.wallet_id, number, farmer_id, giver.signature
            )
            act = Act(
                actor=giver.given_by,
                action=Action.WISH_TO_LEAVE,
                subject=f"wallet {held.wallet_id}",
                details=f"number {number}{_how(held, giver)}",
            )
            await append(session, [act], self._orders)
        return True

    async def _insert_owner(
        self, session: Session, held: Held, owner: str, giver: Giver, *, wait: float
    ) -> datetime:
        moments = await moments_after(session, held.owner.newest_at)
        moment, act = await insert_owner_account(
            session,
            self._orders,
            held.wallet_id,
            owner,
            number=held.owner.number + 1,
            registered_at=moments.now,
            wait=wait,
            actor=giver.given_by,
            how=_how(held, giver),
        )
        await append(session, [act], self._orders)
        return moment


def text_of(held: Held, wish: Wish, rules: AgreementRules) -> str:
    """Return what the owner account has to sign for a wish, as things stand.

    Raises OwnerAccountMissingError, TermsNotOfferedError for a fee that nobody offered, and
    NothingAnnouncedError for an objection to nothing.
    """
    parties, place = held.parties, held.place
    match wish:
        case TermsWish(terms=terms, address=address):
            check_offered(terms, held.agreements, held.now)
            paid = held.addresses.newest if address is None else address
            operator = rules.operator_bps
            return agreement_text(parties, place, terms, operator_bps=operator, address=paid)
        case PayoutWish(address=address):
            return address_text(parties, place, in_force(held.agreements, held.now), address)
        case OwnerWish(owner=owner):
            return owner_text(parties, place, owner)
        case Objection():
            if held.addresses.now.pending is None and held.owner.pending is None:
                raise NothingAnnouncedError("no change of address or owner account is to come")
            return objection_text(parties, place)
        case LeaveWish():
            return leave_text(parties, place, held.leave_wishes + 1, held.addresses.newest)


def _signed(held: Held, text: str, giver: Giver) -> Giver:
    """Return the farmer itself as who gave something. Raises SignatureWrongError."""
    owner = held.parties.owner
    if giver.signature is None or not is_signed_by(owner, text, giver.signature):
        raise SignatureWrongError(
            f"the text as it is now is not signed by {owner}: read it again by DraftWish, and sign "
            "exactly that",
            metadata={"owner_account": owner},
        )
    return Giver(given_by=f"owner {owner}", proof=Proof.SIGNATURE, signature=giver.signature)


def _same(held: Held, terms: Terms, giver: Giver, operator_bps: int) -> Agreement | None:
    """Return the newest agreement when it says the same by the same word."""
    newest = held.agreements[-1] if held.agreements else None
    if newest is None or newest.proof is not giver.proof:
        return None
    is_same = all(getattr(newest, name) == value for name, value in vars(terms).items())
    is_repeat = is_same and newest.operator_bps == operator_bps
    return newest if is_repeat and newest.signature == giver.signature else None


def _how(held: Held, giver: Giver) -> str:
    """Return what the audit log adds of a signature."""
    if giver.signature is None:
        return ""
    signature = base64.b64encode(giver.signature).decode()
    return f", signed by {held.owner.address} over {_numbers(held.place)}: {signature}"


def _numbers(place: Place) -> str:
    return f"agreement {place.agreement}, address {place.address}, owner {place.owner}"
