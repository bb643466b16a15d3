"""Farmers with owner accounts that sign, over wallet's own tables."""

from dataclasses import dataclass, field
from typing import Any

from stellar_sdk import Keypair

from libs.common.db.pool import Database
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from libs.kale.signed_message import message_hash
from services.wallet.domain.agreements import (
    AgreementRules,
    Giver,
    Joining,
    Proof,
    Terms,
    Wish,
)
from services.wallet.domain.withdrawals import CountLimits, WithdrawalTerms
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.seal import seal_new_key
from services.wallet.store.agreements import AgreementStore
from services.wallet.store.own_say import OwnSayStore, text_of
from services.wallet.store.owners import OwnerStore
from services.wallet.store.wallets import WalletStore
from services.wallet.store.withdrawals import WithdrawalStore
from tests.support.agreements import TERMS
from tests.support.orders import ORDERS

POOLER = Giver(given_by="the pooler", proof=Proof.CERTIFICATE)
OPERATOR = Giver(given_by="an operator", proof=Proof.OPERATOR)
_PROVIDER = LocalKeyProvider(bytes(32))


@dataclass(frozen=True, kw_only=True)
class Farmer:
    """A farmer, and the key of its owner account."""

    farmer_id: FarmerId
    wallet_id: WalletId
    pooler_id: PoolerId
    owner: Keypair = field(default_factory=Keypair.random)


@dataclass(frozen=True, kw_only=True)
class OwnSay:
    """The stores of what farmers say, with rules that a test may change."""

    pool: Database
    rules: AgreementRules = field(default_factory=AgreementRules)
    cooling: float = 3_600.0
    changes: int = 10

    @property
    def wallets(self) -> WalletStore:
        return WalletStore(self.pool, ORDERS)

    @property
    def agreements(self) -> AgreementStore:
        return AgreementStore(self.pool, ORDERS)

    @property
    def owners(self) -> OwnerStore:
        return OwnerStore(self.pool, ORDERS)

    @property
    def withdrawals(self) -> WithdrawalStore:
        return WithdrawalStore(self.pool, ORDERS)

    @property
    def store(self) -> OwnSayStore:
        """Return the store that is tried."""
        return OwnSayStore(
            self.pool,
            ORDERS,
            wallets=self.wallets,
            agreements=self.agreements,
            owners=self.owners,
            withdrawals=self.withdrawals,
            rules=self.rules,
            terms=WithdrawalTerms(
                cooling=self.cooling, limits={}, counts=CountLimits(), changes=self.changes
            ),
        )

    async def farmer(
        self,
        *,
        owner: Keypair | None = None,
        has_owner: bool = True,
        payout_address: str = "",
        stake_bps: int = 5_000,
        terms: Terms | None = None,
        pooler_id: PoolerId | None = None,
    ) -> Farmer:
        """Register a farmer as wallet does."""
        sealed = await seal_new_key(_PROVIDER, WalletId(new_id()))
        made = Farmer(
            farmer_id=FarmerId(new_id()),
            wallet_id=sealed.wallet_id,
            pooler_id=pooler_id or PoolerId(new_id()),
            owner=owner or Keypair.random(),
        )
        await self.wallets.insert_farmer(
            sealed,
            farmer_id=made.farmer_id,
            pooler_id=made.pooler_id,
            onboarding_id=OperationId(new_id()),
            payout_address=payout_address,
            stake_bps=stake_bps,
            joining=Joining(
                owner_account=made.owner.public_key if has_owner else "",
                terms=terms,
                giver=POOLER,
                operator_bps=self.rules.operator_bps,
            ),
        )
        return made

    async def signed(self, farmer: Farmer, wish: Wish, *, key: Keypair | None = None) -> Giver:
        """Sign a wish as things stand, by the owner's key or another one."""
        text = text_of(await self.store.held(farmer.farmer_id), wish, self.rules)
        return Giver(
            given_by="a courier",
            proof=Proof.SIGNATURE,
            signature=(key or farmer.owner).sign(message_hash(text)),
        )


def terms(**changed: Any) -> Terms:
    """Return terms with a fee of 5 %."""
    return Terms(**{**TERMS, **changed})
