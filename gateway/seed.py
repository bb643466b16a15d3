"""The seed's six paths, with the names and types of JSON that its page promised (docs/http.md).

Fields that the seed does not have may be added, none may be missing. Errors have the seed's shape,
too: error, message, timestamp.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from google.protobuf.message import Message
from kalepool.common.v1 import common_pb2
from kalepool.harvest.v1 import harvest_pb2
from kalepool.plant.v1 import plant_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.work.v1 import work_pb2

from gateway.bindings import Binding, Method
from gateway.handling import Gateway
from gateway.health import PoolHealth, word_for
from gateway.transcode import message_of
from gateway.words import in_http, short_name
from libs.common.errors import PoolError
from libs.common.version import VERSION
from libs.http.errors import headers_of, phrase_of, problem_of, status_of
from libs.http.request import Reply, Request
from libs.http.routes import Route
from libs.http.strict_json import Real, Refused, Unusable, to_json
from libs.http.template import Template, parse_template

Clock = Callable[[], datetime]
#: What registry takes as the stake when a request names none: the seed's default.
DEFAULT_STAKE = "0.1"
#: Public Horizon servers by network; the pool needs none, the seed told one.
_HORIZONS = {
    "mainnet": "https://horizon.stellar.org",
    "testnet": "https://horizon-testnet.stellar.org",
}
#: Nonces that were refused, and those that the chain did not take.
_FAILED_VERDICTS = frozenset({work_pb2.VERDICT_STATUS_REJECTED, work_pb2.VERDICT_STATUS_FAILED})
#: What the seed says for an error that its callers know by these words.
_WORDS = {"POOLER_NOT_FOUND": "Pooler not found"}


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def moment(at: datetime) -> str:
    """Return a moment as the seed writes it: 2025-08-25T10:00:00Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, kw_only=True)
class Action:
    """One of the seed's paths that acts: what it calls, and how its answer looks."""

    #: The path.
    path: str
    #: Full name of the RPC.
    method: str
    #: Status of success.
    status: int
    #: Makes the reply: the request, the response, and when it was.
    reply: Callable[[Any, Any, datetime], dict[str, Any]]
    #: Changes the request's JSON into that of the RPC.
    prepare: Callable[[Any], Any] = lambda value: value


def _registered(
    request: registry_pb2.RegisterFarmerRequest,
    response: registry_pb2.RegisterFarmerResponse,
    _at: datetime,
) -> dict[str, Any]:
    status = registry_pb2.FarmerStatus.Name(response.status)
    return {
        "farmerId": response.farmer_id,
        "custodialWallet": response.custodial_wallet,
        "poolerId": response.pooler_id,
        "status": status.removeprefix("FARMER_STATUS_").lower(),
        "currentBalance": str(response.current_balance),
        "totalEarnings": str(response.current_balance),
        "stakePercentage": float(request.stake_percentage or DEFAULT_STAKE),
        "registeredAt": moment(response.registered_at.ToDatetime(tzinfo=UTC)),
    }


def _failure(one: Any, **names: Any) -> dict[str, Any]:
    """Return whom something failed for, what it was, and why."""
    reason = common_pb2.FailureReason.Name(one.reason).removeprefix("FAILURE_REASON_")
    return {"farmerId": one.farmer_id, **names, "reason": reason, "message": one.error_message}


def _planted(_request: Message, response: plant_pb2.PlantResponse, at: datetime) -> dict[str, Any]:
    return {
        "blockIndex": response.block_index,
        "poolerId": response.pooler_id,
        "totalRequested": response.total_requested,
        "successfulPlants": response.successful_plants,
        "failedPlants": response.failed_plants,
        "totalStaked": str(response.total_staked),
        "processingTimeMs": response.processing_time_ms,
        "timestamp": moment(at),
        "failures": [
            _failure(one)
            for one in response.plantings
            if one.status == plant_pb2.PLANTING_STATUS_FAILED
        ],
    }


def _worked(
    _request: Message, response: work_pb2.SubmitWorkResponse, at: datetime
) -> dict[str, Any]:
    return {
        "blockIndex": response.block_index,
        "poolerId": response.pooler_id,
        "totalSubmissions": response.total_submissions,
        "validNonces": response.valid_nonces,
        "invalidNonces": response.total_submissions - response.valid_nonces,
        "submittedWork": response.submitted_work,
        "totalRewards": str(response.total_rewards),
        "processingTimeMs": response.processing_time_ms,
        "timestamp": moment(at),
        "failures": [
            _failure(one, nonce=str(one.nonce))
            for one in response.verdicts
            if one.status in _FAILED_VERDICTS
        ],
    }


def _harvested(
    _request: Message, response: harvest_pb2.HarvestResponse, at: datetime
) -> dict[str, Any]:
    return {
        "blockIndex": response.block_index,
        "poolerId": response.pooler_id,
        "totalEligible": response.total_eligible,
        "successfulHarvests": response.successful_harvests,
        "failedHarvests": response.failed_harvests,
        "totalRewards": str(response.total_rewards),
        "processingTimeMs": response.processing_time_ms,
        "timestamp": moment(at),
        "failures": [
            _failure(one)
            for one in response.harvests
            if one.status == harvest_pb2.HARVEST_STATUS_FAILED
        ],
    }


def stake_as_text(value: Any) -> Any:
    """Return a registration whose stake, a number in the seed, is a decimal as registry takes it.

    The digits are those that were sent: 0.1 is no sum of powers of two.
    """
    if not isinstance(value, dict):
        return value
    for name in ("stakePercentage", "stake_percentage"):
        stake = value.get(name)
        if isinstance(stake, Real):
            value[name] = f"{Decimal(stake.text):f}"
        elif type(stake) is int:
            value[name] = str(stake)
        elif isinstance(stake, Unusable):
            value[name] = Refused(stake.why)
        elif stake is not None and not isinstance(stake, str):
            value[name] = Refused("must be a number from 0 to 1")
    return value


ACTIONS = (
    Action(
        path="/farmers/register",
        method="kalepool.registry.v1.RegistryService.RegisterFarmer",
        status=201,
        reply=_registered,
        prepare=stake_as_text,
    ),
    Action(
        path="/plant",
        method="kalepool.plant.v1.PlantService.Plant",
        status=200,
        reply=_planted,
    ),
    Action(
        path="/work",
        method="kalepool.work.v1.WorkService.SubmitWork",
        status=200,
        reply=_worked,
    ),
    Action(
        path="/harvest",
        method="kalepool.harvest.v1.HarvestService.Harvest",
        status=200,
        reply=_harvested,
    ),
)


#: All of the seed's paths.
PATHS = (*(action.path for action in ACTIONS), "/health", "/info")


class Seed:
    """The seed's paths, as routes."""

    def __init__(
        self,
        gateway: Gateway,
        methods: Mapping[str, Method],
        health: PoolHealth,
        *,
        clock: Clock = now,
    ) -> None:
        """Take the RPCs that are served by HTTP, by their full names."""
        self._gateway = gateway
        self._methods = methods
        self._health = health
        self._clock = clock

    def routes(self) -> list[tuple[str, Template, Route]]:
        """Return each path with its method of HTTP and what serves it."""
        found = [
            ("POST", one.path, self._acting(one), self._methods[one.method].path) for one in ACTIONS
        ]
        found += [("GET", "/health", self.health, ""), ("GET", "/info", self.info, "")]
        return [
            (verb, parse_template(path), self._route(f"{verb} {path}", handle, rpc))
            for verb, path, handle, rpc in found
        ]

    def _route(self, name: str, handle: Callable[[Request], Awaitable[Reply]], rpc: str) -> Route:
        words = partial(in_http, served={short_name(rpc): name})
        return Route(name=name, handle=handle, refuse=self.refuse, words=words)

    def _acting(self, action: Action) -> Callable[[Request], Awaitable[Reply]]:
        gateway, method = self._gateway, self._methods[action.method]
        binding = Binding(
            method=method,
            verb="POST",
            template=parse_template(action.path),
            has_body=True,
            is_main=False,
        )

        async def handle(request: Request) -> Reply:
            credentials = await gateway.credentials(request, is_public=False)
            request.check_is_json()
            body = await gateway.body(request)
            try:
                message = await message_of(
                    binding,
                    variables={},
                    query=request.query,
                    body=body,
                    headers=request.headers,
                    prepare=action.prepare,
                )
            finally:
                gateway.bodies.give_back(request.record.identity, len(body))
            with gateway.admitted(request, credentials):
                response = await gateway.call(request, method, message, credentials)
                return _reply(action.status, action.reply(message, response, self._clock()))

        return handle

    async def health(self, request: Request) -> Reply:
        """Tell which services serve, to anybody."""
        await self._gateway.credentials(request, is_public=True)
        services = await self._health.services()
        word = word_for(services)
        content = {
            "status": word,
            "services": services,
            "uptime": self._health.uptime(),
            "timestamp": moment(self._clock()),
            "version": VERSION,
        }
        return _reply(503 if word == "unhealthy" else 200, content)

    async def info(self, request: Request) -> Reply:
        """Tell what the pool is, to anybody."""
        credentials = await self._gateway.credentials(request, is_public=True)
        method = self._methods["kalepool.common.v1.InfoService.GetInfo"]
        found = await self._gateway.call(request, method, common_pb2.GetInfoRequest(), credentials)
        if not isinstance(found, common_pb2.GetInfoResponse):
            raise TypeError(type(found))
        horizon = self._gateway.settings.horizon_url or _HORIZONS.get(found.network.type, "")
        content = {
            "service": "KALE Pool Mining Backend",
            "version": found.version,
            "network": {
                "type": found.network.type,
                "horizon": horizon,
                "kaleContractId": found.network.kale_contract_id,
            },
            "config": {
                "maxFarmers": found.limits.max_farmers,
                "rateLimit": found.limits.rate_limit_per_minute,
            },
            "uptime": self._health.uptime(),
            "services": await self._health.services(),
        }
        return _reply(200, content)

    def refuse(self, error: PoolError, request: Request) -> Reply:
        """Return the reply of an error in the seed's shape."""
        problem = problem_of(
            error, instance=request.path, request_id=request.request_id, words=request.words
        )
        status = status_of(error)
        content = {
            "error": _WORDS.get(error.reason, phrase_of(status)),
            "message": problem["detail"],
            "timestamp": moment(self._clock()),
            "reason": error.reason,
            "requestId": request.request_id,
        }
        if "violations" in problem:
            content["violations"] = problem["violations"]
        headers = headers_of(error, had_token="authorization" in request.headers)
        return Reply(status=status, body=to_json(content), headers=tuple(headers))


def _reply(status: int, content: Mapping[str, Any]) -> Reply:
    return Reply(status=status, body=to_json(content))
