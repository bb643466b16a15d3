"""Wallet's use cases of tokens beside the check of a server that knows its keys."""

from dataclasses import dataclass

from libs.common.clock import SystemClock
from libs.common.db.pool import Database
from libs.common.grpc.identity import Caller, CallerKind
from libs.common.grpc.tokens import TokenCheck
from libs.common.ids import PoolerId
from services.access import ACCESS
from services.wallet.engine.token_keys import TokenKeys
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.store.keys import KeyStore
from services.wallet.store.tokens import TokenStore
from services.wallet.usecases.tokens import Tokens
from tests.support.orders import ORDERS
from tests.support.wallet_rows import WalletRows

MASTER_KEY = bytes(range(32))
PROVIDER = LocalKeyProvider(MASTER_KEY)
DOMAIN = "kalepool"
ANN = Caller(kind=CallerKind.OPERATOR, name="ann", identity=f"spiffe://{DOMAIN}/operator/ann")


@dataclass(frozen=True, kw_only=True)
class Wallet:
    """Wallet's use cases of tokens, and the check of a server that knows its keys."""

    tokens: Tokens
    check: TokenCheck
    store: TokenStore
    keys: TokenKeys

    async def exchanged(self, text: str) -> Caller:
        """Whom the access token speaks for that is given for this text."""
        found = await self.tokens.exchange(text)
        return await self.check.caller(found.access_token, via="here")


async def open_wallet(pool: Database, provider: LocalKeyProvider = PROVIDER) -> Wallet:
    store, keys = TokenStore(pool, ORDERS), TokenKeys(provider, KeyStore(pool, ORDERS))
    await keys.open()
    tokens = Tokens(store=store, keys=keys, clock=SystemClock(), trust_domain=DOMAIN, access=ACCESS)
    check = TokenCheck(keys, trust_domain=DOMAIN)
    return Wallet(tokens=tokens, check=check, store=store, keys=keys)


async def register(rows: WalletRows, *poolers: PoolerId, is_active: bool = True) -> None:
    """Write poolers as registry does."""
    for pooler_id in poolers:
        await rows.insert(
            "registry.poolers",
            id=pooler_id,
            name=str(pooler_id),
            public_key=f"G{pooler_id.hex.upper():A<55}",
            max_farmers=1,
            is_active=is_active,
        )
