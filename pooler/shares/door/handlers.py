"""Serves what miners ask for."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from libs.common.grpc.limits import Admission
from libs.http.addresses import limited_by
from libs.http.bearer import token_in
from libs.http.kept import Kept
from libs.http.request import Bodies, Reply, Request
from libs.http.routes import Route
from libs.http.sse import send_events
from libs.http.strict_json import to_json
from libs.http.template import Template, parse_template
from pooler.shares.domain.codes import Code
from pooler.shares.domain.errors import BadCredentialError, MalformedError
from pooler.shares.domain.judging import Verdict
from pooler.shares.domain.model import Miner
from pooler.shares.door.limits import CallRate, Wrong
from pooler.shares.door.reading import (
    ask_of,
    joining_of,
    no_parameters,
    page_of,
    shares_of,
    terms_of,
)
from pooler.shares.figures import FEW, MOST, miner_content, pool_of, results_of, stats_of
from pooler.shares.service import Shares
from pooler.shares.work import Work

#: The header that carries a job beside a line of arguments, and back.
JOB_HEADER = "kale-job"
#: Seconds for which what everybody may know is the same.
_FRESH = 2.0
#: Bodies of the largest size that are held at a time, of all callers and of one.
_BODIES, _BODIES_OF_ONE = 64, 8

Serve = Callable[[Request], Awaitable[Reply | None]]


class Door:
    """The handlers of all paths."""

    def __init__(self, shares: Shares) -> None:
        """Take the work for miners."""
        settings = shares.settings
        most = settings.shares_max_body_bytes
        self._shares = shares
        self._settings = settings
        self._pool: Kept[bytes] = Kept(_FRESH)
        self._bodies = Bodies(most=_BODIES * most, most_of_one=_BODIES_OF_ONE * most)
        self._admission = Admission(
            max_calls=settings.shares_max_calls, max_streams=settings.shares_max_streams
        )
        self._rate = CallRate(settings.shares_rate_limit)
        self._public_rate = CallRate(settings.shares_public_rate_limit)
        self._join_rate = CallRate(settings.shares_join_limit)
        self._wrong = Wrong(settings.shares_wrong_credential_limit)

    def routes(self) -> list[tuple[str, Template, Route]]:
        """Return each path with its method of HTTP and what serves it."""
        served: list[tuple[str, str, Serve]] = [
            ("GET", "/health", self.health),
            ("GET", "/v1/pool", self.pool),
            ("POST", "/join", self.join),
            ("POST", "/terms", self.terms),
            ("GET", "/work", self.work),
            ("POST", "/submit", self.submit),
            ("GET", "/stats", self.stats),
            ("GET", "/blocks", self.blocks),
            ("GET", "/events", self.events),
        ]
        return [
            (verb, parse_template(path), Route(name=f"{verb} {path}", handle=self._counted(serve)))
            for verb, path, serve in served
        ]

    async def aclose(self) -> None:
        """Cancel what is being made."""
        await self._pool.aclose()

    # For everybody --------------------------------------------------------------------------------

    async def health(self, request: Request) -> Reply:
        """Tell that the process serves."""
        self._check_public(request)
        return _reply({"status": "serving"})

    async def pool(self, request: Request) -> Reply:
        """Tell what may be known before joining."""
        self._check_public(request)
        no_parameters(request.query)
        return Reply(status=200, body=await self._pool.get("pool", self._written_pool))

    async def join(self, request: Request) -> Reply:
        """Add a miner; its credential is told this one time."""
        self._join_rate.check(limited_by(request.address), request.record.route)
        no_parameters(request.query)
        joining = joining_of(await self._body(request))
        miner, credential = await self._shares.accounts.join(
            address=joining.address,
            name=joining.name,
            terms=joining.terms,
            at=self._shares.clock(),
        )
        return _reply({**miner_content(miner), "credential": credential}, status=201)

    # For miners -----------------------------------------------------------------------------------

    async def terms(self, request: Request) -> Reply:
        """Note that a miner agrees to the terms that hold."""
        miner = await self._miner(request)
        no_parameters(request.query)
        version = terms_of(await self._body(request))
        agreed = await self._shares.accounts.agree(_credential(request) or "", miner, version)
        return _reply(miner_content(agreed))

    async def work(self, request: Request) -> Reply:
        """Give jobs."""
        miner = await self._miner(request)
        ask = ask_of(request.query)
        if ask.is_argv and ask.count > 1:
            raise MalformedError.of("count", "must be 1 with format=argv")
        works = await self._shares.work(miner, ask)
        if ask.is_argv:
            return Reply(
                status=200,
                body=works[0].line().encode(),
                media_type="text/plain; charset=utf-8",
                headers=((JOB_HEADER, works[0].token),),
            )
        return _reply({"jobs": _jobs(works)})

    async def submit(self, request: Request) -> Reply:
        """Take shares."""
        miner = await self._miner(request)
        no_parameters(request.query)
        brought = shares_of(await self._body(request), request.headers.get(JOB_HEADER, ""))
        outcome, works = await self._shares.submit(miner, brought)
        accepted = [one for one in outcome.verdicts if one.code is Code.ACCEPTED]
        return _reply(
            {
                "accepted": len(accepted),
                "points": str(sum(one.points for one in accepted)),
                "verdicts": [_verdict(one) for one in outcome.verdicts],
                "jobs": _jobs(works),
            }
        )

    async def stats(self, request: Request) -> Reply:
        """Tell a miner of itself."""
        miner = await self._miner(request, allow_banned=True)
        no_parameters(request.query)
        return _reply(await stats_of(self._shares, miner))

    async def blocks(self, request: Request) -> Reply:
        """Tell a miner of its blocks."""
        miner = await self._miner(request, allow_banned=True)
        before, limit = page_of(request.query, few=FEW, most=MOST)
        found = await results_of(self._shares, miner, before=before, limit=limit)
        return _reply({"blocks": found})

    async def events(self, request: Request) -> None:
        """Stream what happens."""
        miner = await self._miner(request)
        ask = ask_of(request.query)
        if ask.is_argv:
            raise MalformedError.of("format", "must be json for a stream")
        heartbeat = self._settings.shares_heartbeat_ms / 1000
        with self._admission.stream(_name(miner)):
            async with self._shares.subscribed(miner, ask) as reader:
                await send_events(
                    request, reader, heartbeat=heartbeat, check=lambda: self._miner(request)
                )

    # Inside ---------------------------------------------------------------------------------------

    def _counted(self, serve: Serve) -> Serve:
        """Return a handler whose requests are counted while they are served; streams are not."""
        if serve == self.events:
            return serve

        async def handle(request: Request) -> Reply | None:
            with self._admission.call(request.record.identity):
                return await serve(request)

        return handle

    async def _miner(self, request: Request, *, allow_banned: bool = False) -> Miner:
        """Return who asks.

        Raise BadCredentialError, BannedError, or LimitedError for who asks too often.
        """
        credential = _credential(request)
        miner = await self._known_miner(credential, request)
        request.record.identity = _name(miner)
        self._rate.check(request.record.identity, request.record.route)
        if not allow_banned:
            self._shares.accounts.check_not_banned(miner, self._shares.clock())
        return miner

    async def _known_miner(self, credential: str | None, request: Request) -> Miner:
        """Return whose credential it is; an address may try only so many that are none."""
        accounts, address = self._shares.accounts, limited_by(request.address)
        if accounts.is_known(credential):
            return await accounts.of_credential(credential)
        if credential is None:
            self._public_rate.check(address, request.record.route)
        else:
            self._wrong.check(address)
        try:
            return await accounts.of_credential(credential)
        except BadCredentialError:
            if credential is not None:
                self._wrong.count(address)
            raise

    def _check_public(self, request: Request) -> None:
        self._public_rate.check(limited_by(request.address), request.record.route)

    async def _body(self, request: Request) -> bytes:
        """Read a body."""
        request.check_is_json()
        body = await request.body(
            self._bodies,
            request.record.identity,
            limit=self._settings.shares_max_body_bytes,
            seconds=self._settings.shares_body_timeout_ms / 1000,
        )
        # It is read at once, before anything else may run.
        self._bodies.give_back(request.record.identity, len(body))
        return body

    async def _written_pool(self) -> bytes:
        return to_json(await pool_of(self._shares))


def _credential(request: Request) -> str | None:
    authorization = request.headers.get("authorization")
    return None if authorization is None else token_in(authorization)


def _name(miner: Miner) -> str:
    return f"miner/{miner.miner_id}"


def _reply(content: Mapping[str, Any], *, status: int = 200) -> Reply:
    return Reply(status=status, body=to_json(content))


def _jobs(works: Sequence[Work]) -> list[Mapping[str, Any]]:
    return [work.content() for work in works]


def _verdict(verdict: Verdict) -> Mapping[str, Any]:
    """Return a verdict as JSON; lateness stands only where there is one."""
    told: dict[str, Any] = {"code": verdict.code.value}
    if verdict.points:
        told["points"] = str(verdict.points)
    if verdict.zeros >= 0:
        told["zeros"] = verdict.zeros
    if verdict.code in {Code.TOO_LATE, Code.STALE_BLOCK} and verdict.lateness_ms:
        told["latenessMs"] = verdict.lateness_ms
    return told
