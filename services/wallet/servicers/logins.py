"""kalepool.wallet.v1.LoginService: logging in with a Stellar account."""

from datetime import UTC, datetime
from typing import Any, TypeAlias

import grpc
from kalepool.wallet.v1 import login_pb2, login_pb2_grpc

from libs.common.grpc.identity import CallerKind, identity
from services.wallet.servicers.messages import timestamp
from services.wallet.usecases.logins import Logins

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = login_pb2.DESCRIPTOR.services_by_name["LoginService"].full_name


class LoginServicer(login_pb2_grpc.LoginServiceServicer):
    """Thin servicer: each method maps the request, makes one call and maps the result back."""

    def __init__(self, logins: Logins, *, trust_domain: str) -> None:
        self._logins = logins
        self._trust_domain = trust_domain

    async def GetLogin(
        self, request: login_pb2.GetLoginRequest, context: Context
    ) -> login_pb2.GetLoginResponse:
        """See login.proto."""
        terms = self._logins.terms
        return login_pb2.GetLoginResponse(
            signing_key=self._logins.signing_key,
            network_passphrase=self._logins.passphrase,
            home_domain=terms.home_domain,
            web_auth_domain=terms.web_auth_domain,
            login_seconds=terms.seconds,
        )

    async def StartLogin(
        self, request: login_pb2.StartLoginRequest, context: Context
    ) -> login_pb2.StartLoginResponse:
        """See login.proto."""
        challenge, text = self._logins.start(request.account, request.home_domain)
        return login_pb2.StartLoginResponse(
            transaction=challenge.transaction,
            network_passphrase=self._logins.passphrase,
            text=text,
            ends_at=timestamp(challenge.ends),
        )

    async def FinishLogin(
        self, request: login_pb2.FinishLoginRequest, context: Context
    ) -> login_pb2.FinishLoginResponse:
        """See login.proto."""
        token, login = await self._logins.finish(request.transaction, request.signature)
        return login_pb2.FinishLoginResponse(
            token=token,
            account=login.account,
            subject=identity(CallerKind.OWNER, login.account, trust_domain=self._trust_domain),
            ends_at=timestamp(datetime.fromtimestamp(login.ends, UTC)),
        )
