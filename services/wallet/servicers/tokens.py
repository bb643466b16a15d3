"""kalepool.wallet.v1.TokenService: API tokens, and the access tokens that wallet gives for them."""

from typing import Any, TypeAlias
from uuid import UUID

import grpc
from kalepool.wallet.v1 import token_pb2, token_pb2_grpc

from libs.common.grpc.identity import caller
from libs.common.ids import PoolerId
from libs.common.paging import id_after, size_of, token_after
from services.wallet.domain.tokens import (
    DEFAULT_NAME,
    DEFAULT_SECONDS,
    NewToken,
    Role,
    Token,
    TokenId,
)
from services.wallet.engine.token_keys import TokenKeys
from services.wallet.servicers.messages import timestamp
from services.wallet.store.tokens import TokenStore
from services.wallet.usecases.tokens import Tokens

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = token_pb2.DESCRIPTOR.services_by_name["TokenService"].full_name
#: Methods that other services call.
INTERNAL = ("ListTokenKeys",)
_ROLES = {
    token_pb2.TOKEN_ROLE_POOLER: Role.POOLER,
    token_pb2.TOKEN_ROLE_OPERATOR: Role.OPERATOR,
    token_pb2.TOKEN_ROLE_OWNER: Role.OWNER,
}
_ROLE_NUMBERS = {role: number for number, role in _ROLES.items()}


class TokenServicer(token_pb2_grpc.TokenServiceServicer):
    """Thin servicer: each method maps the request, makes one call and maps the result back."""

    def __init__(self, tokens: Tokens, store: TokenStore, keys: TokenKeys) -> None:
        self._tokens = tokens
        self._store = store
        self._keys = keys

    async def CreateToken(
        self, request: token_pb2.CreateTokenRequest, context: Context
    ) -> token_pb2.CreateTokenResponse:
        """See token.proto."""
        text, token = await self._tokens.create(_new_token(request), caller())
        return token_pb2.CreateTokenResponse(token=text, info=_info(token))

    async def ListTokens(
        self, request: token_pb2.ListTokensRequest, context: Context
    ) -> token_pb2.ListTokensResponse:
        """See token.proto."""
        size = size_of(request.page_size)
        found = await self._store.tokens(
            _pooler(request.pooler_id), before=id_after(request.page_token), limit=size + 1
        )
        return token_pb2.ListTokensResponse(
            tokens=map(_info, found[:size]),
            next_page_token=token_after([token.id for token in found], size),
        )

    async def RevokeToken(
        self, request: token_pb2.RevokeTokenRequest, context: Context
    ) -> token_pb2.RevokeTokenResponse:
        """See token.proto."""
        token_id = TokenId(UUID(request.token_id))
        token = await self._tokens.revoke(token_id, actor=caller().actor)
        return token_pb2.RevokeTokenResponse(info=_info(token))

    async def ExchangeToken(
        self, request: token_pb2.ExchangeTokenRequest, context: Context
    ) -> token_pb2.ExchangeTokenResponse:
        """See token.proto."""
        found = await self._tokens.exchange(request.token)
        return token_pb2.ExchangeTokenResponse(
            access_token=found.access_token,
            expires_at=timestamp(found.expires_at),
            info=_info(found.token),
        )

    async def ListTokenKeys(
        self, request: token_pb2.ListTokenKeysRequest, context: Context
    ) -> token_pb2.ListTokenKeysResponse:
        """See token.proto."""
        return token_pb2.ListTokenKeysResponse(
            keys=[
                token_pb2.TokenKey(key_id=key.key_id, public_key=key.public.public_bytes_raw())
                for key in self._keys.public
            ]
        )

    async def ReplaceTokenKey(
        self, request: token_pb2.ReplaceTokenKeyRequest, context: Context
    ) -> token_pb2.ReplaceTokenKeyResponse:
        """See token.proto."""
        key_id = await self._keys.replace(actor=caller().actor)
        return token_pb2.ReplaceTokenKeyResponse(key_id=key_id)


def _new_token(request: token_pb2.CreateTokenRequest) -> NewToken:
    return NewToken(
        request_id=request.request_id,
        role=_ROLES[request.role],
        pooler_id=_pooler(request.pooler_id),
        name=request.name or DEFAULT_NAME,
        methods=tuple(request.methods),
        is_read_only=request.is_read_only,
        seconds=request.expires_in_seconds or DEFAULT_SECONDS,
    )


def _pooler(text: str) -> PoolerId | None:
    return PoolerId(UUID(text)) if text else None


def _info(token: Token) -> token_pb2.TokenInfo:
    revoked_at = token.revoked_at
    return token_pb2.TokenInfo(
        token_id=str(token.id),
        role=_ROLE_NUMBERS[token.role],
        subject=token.subject,
        pooler_id=str(token.pooler_id or ""),
        name=token.name,
        methods=token.methods,
        is_read_only=token.is_read_only,
        created_by=token.created_by,
        created_at=timestamp(token.created_at),
        expires_at=timestamp(token.expires_at),
        revoked_by=token.revoked_by or "",
        revoked_at=None if revoked_at is None else timestamp(revoked_at),
    )
