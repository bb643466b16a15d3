"""Use cases of API tokens: one coroutine per verb."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from libs.common.clock import Clock
from libs.common.errors import FieldViolation, InvalidArgumentError
from libs.common.grpc.access import Access
from libs.common.grpc.identity import Caller, CallerKind, Grant, identity
from libs.common.grpc.tokens import LIFE, AccessToken
from libs.common.ids import PoolerId, new_id
from libs.common.log import get_security_logger
from services.wallet.domain.errors import (
    PoolerNotFoundError,
    TokenRoleError,
    TokenUnknownError,
)
from services.wallet.domain.logins import LoginTerms, read_login
from services.wallet.domain.tokens import (
    NewToken,
    Role,
    Token,
    TokenId,
    hash_of,
    is_name,
    new_text,
)
from services.wallet.engine.token_keys import TokenKeys
from services.wallet.store.tokens import TokenStore

security = get_security_logger()


@dataclass(frozen=True, kw_only=True)
class Exchanged:
    """An access token, and the API token that it was given for."""

    #: As its bearer sends it along.
    access_token: str
    #: When it ends.
    expires_at: datetime
    token: Token


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Use cases of API tokens, and the parts that they use."""

    store: TokenStore
    keys: TokenKeys
    clock: Clock
    #: The domain of the names that tokens speak for.
    trust_domain: str
    #: Who may call what, by full method name.
    access: Mapping[str, Access]
    #: The operator's terms for logins with Stellar accounts; None: their tokens do not count.
    logins: LoginTerms | None = None

    async def create(self, new: NewToken, caller: Caller) -> tuple[str, Token]:
        """Make a token; return its text, which is nowhere afterwards, and what it may.

        Raises InvalidArgumentError, PoolerNotFoundError, TokenRoleError, TokenShownError.
        """
        if new.role is Role.OPERATOR and caller.kind is CallerKind.POOLER:
            raise TokenRoleError("a pooler makes tokens that speak for the pooler itself")
        violations = list(self._violations(new))
        if violations:
            words = "; ".join(f"{one.field} {one.description}" for one in violations)
            raise InvalidArgumentError(words, violations=violations)
        await self._check_pooler(new.pooler_id)
        text = new_text()
        secret_hash = hash_of(text)
        if secret_hash is None:
            raise AssertionError("a new token is none")
        token = await self.store.create(
            new,
            subject=self._subject(new, caller),
            secret_hash=secret_hash,
            actor=caller.actor,
        )
        security.warning(
            "token made",
            token_id=str(token.id),
            subject=token.subject,
            read_only=token.is_read_only,
            actor=caller.actor,
        )
        return text, token

    async def revoke(self, token_id: TokenId, *, actor: str) -> Token:
        """Revoke a token for good. Raises TokenNotFoundError."""
        token = await self.store.revoke(token_id, actor=actor)
        security.warning("token revoked", token_id=str(token_id), actor=actor)
        return token

    async def exchange(self, text: str) -> Exchanged:
        """Return an access token for the text of an API token, or of a login token.

        Raises TokenUnknownError, alike for whatever keeps the token from counting.
        """
        secret_hash = hash_of(text)
        if secret_hash is None:
            token = self._of_login(text)
        else:
            token = await self.store.of_secret(secret_hash)
        begins = int(self.clock.now().timestamp())
        ends = begins if token is None else min(begins + LIFE, int(token.expires_at.timestamp()))
        if token is None or ends <= begins:
            raise TokenUnknownError("this is no token that counts")
        grant = Grant(
            token_id=str(token.id),
            is_read_only=token.is_read_only,
            methods=frozenset(token.methods) or None,
            ends=ends,
        )
        access_token = AccessToken(
            subject=token.subject, grant=grant, begins=begins, token_id=str(new_id())
        )
        key = self.keys.current
        return Exchanged(
            access_token=access_token.signed(
                key.private, key.key_id, trust_domain=self.trust_domain
            ),
            expires_at=datetime.fromtimestamp(ends, UTC),
            token=token,
        )

    def _of_login(self, text: str) -> Token | None:
        """Return what a login token stands for; None for one that does not count."""
        if self.logins is None:
            return None
        now = self.clock.now().timestamp()
        login = read_login(text, self.keys.known, issuer=self.logins.issuer, now=now)
        if login is None:
            return None
        subject = identity(CallerKind.OWNER, login.account, trust_domain=self.trust_domain)
        return Token(
            id=TokenId(UUID(login.id)),
            role=Role.OWNER,
            subject=subject,
            pooler_id=None,
            name="login",
            methods=(),
            is_read_only=False,
            secret_hash=b"",
            created_by=subject,
            created_at=datetime.fromtimestamp(login.begins, UTC),
            expires_at=datetime.fromtimestamp(login.ends, UTC),
        )

    async def _check_pooler(self, pooler_id: PoolerId | None) -> None:
        """Raise PoolerNotFoundError for a pooler that registry does not know.

        Who mistypes an id would else hand out a token that may do nothing, and find out much later.
        """
        if pooler_id is not None and not await self.store.is_pooler(pooler_id):
            raise PoolerNotFoundError(
                f"pooler_id: no pooler {pooler_id}", metadata={"pooler_id": str(pooler_id)}
            )

    def _subject(self, new: NewToken, caller: Caller) -> str:
        """Return the name that the token speaks for.

        An operator's token speaks for the operator who makes it, and for nobody else: else one
        person could be two, the one who asks and the one who agrees.
        """
        if new.role is Role.POOLER:
            return identity(CallerKind.POOLER, str(new.pooler_id), trust_domain=self.trust_domain)
        # Where nobody shows a name (plaintext), the token's is taken.
        is_operator = caller.kind is CallerKind.OPERATOR
        name = caller.name if is_operator else new.name
        return identity(CallerKind.OPERATOR, name, trust_domain=self.trust_domain)

    def _violations(self, new: NewToken) -> Iterator[FieldViolation]:
        if new.role is Role.OWNER:
            told = "must be a pooler or an operator: an owner account logs in"
            yield FieldViolation(field="role", description=told)
        if (new.role is Role.POOLER) is (new.pooler_id is None):
            told = "must be set for a pooler's token, and for no other"
            yield FieldViolation(field="pooler_id", description=told)
        if not is_name(new.name):
            told = "must be of small letters, digits and . _ - between letters or digits"
            yield FieldViolation(field="name", description=told)
        for number, method in enumerate(new.methods):
            if not self._may_call(new, method):
                told = "is no method that such a token may call"
                yield FieldViolation(field=f"methods[{number}]", description=told)

    def _may_call(self, new: NewToken, method: str) -> bool:
        entry = self.access.get(method)
        if entry is None or not entry.by_token or (new.is_read_only and not entry.reads):
            return False
        return entry.poolers if new.role is Role.POOLER else entry.operators
