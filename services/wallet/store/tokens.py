"""API tokens, each step in a transaction with its record in the audit log."""

from collections.abc import Sequence
from uuid import UUID

from libs.common.db.pool import Database, Record, Session
from libs.common.grpc.standing import Standing, standings_in
from libs.common.ids import PoolerId, new_id
from libs.common.log import get_security_logger
from libs.common.once import Spent
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import TokenNotFoundError, TokenShownError
from services.wallet.domain.tokens import NewToken, Role, Token, TokenId, ending
from services.wallet.store.custody import add_records, audit_head, lock_audit_log
from services.wallet.store.orders import Orders

security = get_security_logger()


class TokenStore:
    """The table tokens: a row that wallet did not write is no token."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders
        #: What this process has revoked, or seen revoked: no row brings it back.
        self._revoked: Spent[TokenId] = Spent()

    async def create(self, new: NewToken, *, subject: str, secret_hash: bytes, actor: str) -> Token:
        """Record a new token. Raises TokenShownError for a request that was answered before."""
        async with self._database.transaction() as session:
            await lock_audit_log(session)
            _, now = await audit_head(session)
            token = Token(
                id=TokenId(new_id()),
                role=new.role,
                subject=subject,
                pooler_id=new.pooler_id,
                name=new.name,
                methods=new.methods,
                is_read_only=new.is_read_only,
                secret_hash=secret_hash,
                created_by=actor,
                created_at=now,
                expires_at=ending(now, seconds=new.seconds),
            )
            if not await self._insert(session, token, new.request_id):
                await _refuse_repeat(session, new.request_id, actor)
            details = f"{subject}, {new.name}"
            await add_records(
                session, [_act(Action.CREATE_TOKEN, token, actor, details)], self._orders
            )
        return token

    async def _insert(self, session: Session, token: Token, request_id: str) -> bool:
        changed = await session.execute(
            "insert_token",
            token.id,
            token.role.value,
            token.subject,
            token.pooler_id,
            token.name,
            list(token.methods),
            token.is_read_only,
            token.secret_hash,
            request_id,
            token.created_by,
            token.created_at,
            token.expires_at,
            self._orders.for_token(token),
        )
        return changed == 1

    async def revoke(self, token_id: TokenId, *, actor: str) -> Token:
        """Revoke a token; one that is revoked stays as it is. Raises TokenNotFoundError."""
        async with self._database.transaction() as session:
            await lock_audit_log(session)
            row = await session.one("token", token_id)
            if row is None:
                raise TokenNotFoundError(f"there is no token {token_id}")
            mac = self._orders.for_revoked_token(row, revoked_by=actor, revoked_at=row["moment"])
            if await session.execute("revoke_token", token_id, actor, row["moment"], mac):
                token = token_of(row)
                await add_records(
                    session, [_act(Action.REVOKE_TOKEN, token, actor, token.name)], self._orders
                )
                row = await session.one("token", token_id) or row
        self._revoked.add(token_id)
        return token_of(row)

    async def of_secret(self, secret_hash: bytes) -> Token | None:
        """Return the token with this hash, if it counts.

        It does not when it has ended, was revoked (by its row, by the audit log or as this process
        knows), or was not written by wallet.
        """
        row = await self._database.one("token_of_secret", secret_hash)
        if row is None:
            return None
        if not self._orders.is_token(row):
            security.critical("token not written by wallet", token_id=str(row["id"]))
            return None
        token = token_of(row)
        is_revoked = row["revoked_at"] is not None
        if row["is_told_revoked"] and not is_revoked:
            security.critical("token was revoked by the audit log", token_id=str(token.id))
        elif token.id in self._revoked and not is_revoked:
            security.critical("token was revoked", token_id=str(token.id))
        if is_revoked or row["is_told_revoked"]:
            self._revoked.add(token.id)
        return None if row["has_ended"] or token.id in self._revoked else token

    async def tokens(
        self, pooler_id: PoolerId | None, *, before: UUID | None, limit: int
    ) -> list[Token]:
        """Return tokens, newest first; of one pooler, unless that is None."""
        rows = await self._database.many("tokens", pooler_id, before, limit)
        return [token_of(row) for row in rows]

    async def owners(self, ids: Sequence[str]) -> set[str]:
        """Return the poolers (ids) of these tokens; "" is among them when one is no pooler's."""
        rows = await self._database.many("owners_of_tokens", list(map(UUID, ids)))
        return {
            str(row["pooler_id"])
            if row["pooler_id"] is not None and self._orders.is_token(row)
            else ""
            for row in rows
        }

    async def is_pooler(self, pooler_id: PoolerId) -> bool:
        """Tell whether registry knows a pooler."""
        return await self._database.one("registered_pooler", pooler_id) is not None

    async def standings_of_poolers(self, ids: Sequence[str]) -> set[Standing]:
        """Return what limits these poolers."""
        row = await self._database.one("standings_of_poolers", list(map(UUID, ids)))
        return standings_in(None if row is None else dict(row))


async def _refuse_repeat(session: Session, request_id: str, actor: str) -> None:
    known = await session.one("token_of_request", actor, request_id)
    token_id = "" if known is None else str(known["id"])
    raise TokenShownError(
        "the request was answered before: revoke its token and make another one",
        metadata={"token_id": token_id},
    )


def _act(action: Action, token: Token, actor: str, details: str) -> Act:
    return Act(actor=actor, action=action, subject=f"token {token.id}", details=details)


def token_of(row: Record) -> Token:
    """Return the token of a row."""
    return Token(
        id=TokenId(row["id"]),
        role=Role(row["role"]),
        subject=row["subject"],
        pooler_id=row["pooler_id"],
        name=row["name"],
        methods=tuple(row["methods"]),
        is_read_only=row["is_read_only"],
        secret_hash=row["secret_hash"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_by=row["revoked_by"],
        revoked_at=row["revoked_at"],
    )
