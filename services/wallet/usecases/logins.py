"""Use cases of logins with Stellar accounts (SEP-10, SEP-53): one coroutine per verb."""

import secrets
from dataclasses import dataclass

from libs.common.clock import Clock
from libs.common.errors import InvalidArgumentError
from libs.common.ids import new_id
from libs.common.log import get_security_logger
from libs.kale.signed_message import is_signed_by
from services.wallet.chain import NONCE_BYTES, Chain, check_signed, read_challenge, sign_challenge
from services.wallet.domain.errors import LoginOffError, LoginRefusedError
from services.wallet.domain.logins import (
    CHALLENGE_SECONDS,
    AccountSigners,
    Challenge,
    Login,
    LoginTerms,
    login_text,
)
from services.wallet.domain.trust import Decision
from services.wallet.engine.token_keys import TokenKeys
from services.wallet.keys.token_keys import login_signer
from services.wallet.store.logins import LoginStore

security = get_security_logger()


@dataclass(frozen=True, kw_only=True)
class Logins:
    """Use cases of logins, and the parts that they use."""

    chain: Chain
    keys: TokenKeys
    store: LoginStore
    clock: Clock
    #: The operator's terms; None: nobody logs in.
    offered: LoginTerms | None

    @property
    def terms(self) -> LoginTerms:
        """Return the operator's terms. Raises LoginOffError."""
        if self.offered is None:
            raise LoginOffError("nobody logs in here: LOGIN_HOME_DOMAIN is not set")
        return self.offered

    @property
    def signing_key(self) -> str:
        """Return the account (strkey G...) that signs challenges."""
        return login_signer(self.keys.current).address

    @property
    def passphrase(self) -> str:
        """Return the network's passphrase, to which challenges are bound."""
        return self.chain.network.passphrase

    def start(self, account: str, home_domain: str) -> tuple[Challenge, str]:
        """Return a challenge for an account, and the text that may be signed instead.

        Raises LoginOffError, and InvalidArgumentError for a home domain that is not ours.
        """
        terms = self.terms
        if home_domain not in {"", terms.home_domain}:
            raise InvalidArgumentError.of("home_domain", f"must be {terms.home_domain}")
        begins = int(self.clock.now().timestamp())
        transaction = sign_challenge(
            account,
            signer=login_signer(self.keys.current),
            terms=terms,
            network=self.chain.network,
            begins=begins,
            ends=begins + CHALLENGE_SECONDS,
            nonce=secrets.token_bytes(NONCE_BYTES),
        )
        challenge = self._read(transaction, terms)
        return challenge, login_text(challenge, home_domain=terms.home_domain)

    async def finish(self, transaction: str, signature: bytes) -> tuple[str, Login]:
        """Return a login token for a challenge, and whom it speaks for.

        The transaction has the account's signatures, unless `signature` is one over the text.
        Raises LoginOffError, LoginTransactionError, LoginRefusedError and LoginUsedError.
        """
        terms = self.terms
        challenge = self._read(transaction, terms)
        signers = await self._signers(challenge.account)
        if signature:
            _check_text(challenge, signers, signature, terms)
        else:
            check_signed(challenge, signers, terms=terms, network=self.chain.network)
        await self.store.use(challenge)
        begins = int(self.clock.now().timestamp())
        login = Login(
            id=str(new_id()),
            account=challenge.account,
            begins=begins,
            ends=begins + terms.seconds,
        )
        security.info("logged in", account=login.account, login_id=login.id)
        key = self.keys.current
        return login.signed(key.private, key.key_id, issuer=terms.issuer), login

    def _read(self, transaction: str, terms: LoginTerms) -> Challenge:
        # A key that was replaced counts on for as long as tokens do that it has signed.
        keys = [login_signer(key).address for key in self.keys.public]
        return read_challenge(transaction, keys=keys, terms=terms, network=self.chain.network)

    async def _signers(self, account: str) -> AccountSigners:
        """Return who signs for an account, as nodes agree on."""
        found = await self.chain.trusted(Decision.LOG_IN).signers(account)
        return AccountSigners.of_missing(account) if found is None else found


def _check_text(
    challenge: Challenge, signers: AccountSigners, signature: bytes, terms: LoginTerms
) -> None:
    """Raise LoginRefusedError unless the account's own key has signed the text, and suffices."""
    text = login_text(challenge, home_domain=terms.home_domain)
    if not is_signed_by(challenge.account, text, signature):
        raise LoginRefusedError(f"the text is not signed by {challenge.account}")
    if not signers.own_key_suffices:
        raise LoginRefusedError(
            "the account's own key does not reach its medium threshold: sign the transaction"
        )
