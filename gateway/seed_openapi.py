"""The seed's six paths in the OpenAPI document.

Replies are written by hand, as their shapes are no proto's; requests are those of the RPCs.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor
from kalepool.harvest.v1 import harvest_pb2
from kalepool.plant.v1 import plant_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.work.v1 import work_pb2

from gateway.schemas import Schemas
from libs.http.reference.document import Schema

_POOLER = "0190a5f0-6c2e-7b41-8a53-000000000002"
_FARMER = "0190a5f0-6c2e-7b41-8a53-000000000001"
_ACCOUNT = "GAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB7JZX"
_MOMENT = "2025-08-25T10:00:00Z"
_TEXT = {"type": "string"}
_AMOUNT = {"type": "string", "pattern": "^-?[0-9]+$", "description": "Stroops of KALE."}
_COUNT = {"type": "integer", "minimum": 0}
_TIME = {"type": "string", "format": "date-time"}
_SERVICES = {"type": "object", "additionalProperties": {"type": "boolean"}}
_UUID = {
    "type": "string",
    "format": "uuid",
    "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
}
#: What the paths take, by the names of their schemas.
_REQUESTS: Mapping[str, Descriptor] = {
    "seed.RegisterFarmerRequest": registry_pb2.RegisterFarmerRequest.DESCRIPTOR,
    "seed.PlantRequest": plant_pb2.PlantRequest.DESCRIPTOR,
    "seed.WorkRequest": work_pb2.SubmitWorkRequest.DESCRIPTOR,
    "seed.HarvestRequest": harvest_pb2.HarvestRequest.DESCRIPTOR,
}


def _object(properties: dict[str, Any], *, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def _counted(failure: Mapping[str, Schema], **names: Schema) -> dict[str, Any]:
    one = {"farmerId": _UUID, **failure, "reason": _TEXT, "message": _TEXT}
    failures = {"type": "array", "items": _object(one), "description": "One for each that failed."}
    return _object(
        {
            "blockIndex": _COUNT,
            "poolerId": _UUID,
            **names,
            "processingTimeMs": _COUNT,
            "timestamp": _TIME,
            "failures": failures,
        }
    )


def seed_requests(schemas: Schemas) -> dict[str, Schema]:
    """Return the schemas of what the paths take: the RPCs', but that the stake may be a number."""
    found = {
        name: schemas.message(descriptor, is_request=True, left_out=())
        for name, descriptor in _REQUESTS.items()
    }
    fields = found["seed.RegisterFarmerRequest"]["properties"]
    text: Schema = fields["stakePercentage"]
    fields["stakePercentage"] = {
        "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, text],
        "description": "Part of the balance that is staked, with at most four decimals.",
    }
    return found


SEED_SCHEMAS: dict[str, Any] = {
    "seed.Error": _object(
        {
            "error": _TEXT,
            "message": _TEXT,
            "timestamp": _TIME,
            "reason": _TEXT,
            "requestId": _TEXT,
            "violations": {"type": "array", "items": {"type": "object"}},
        },
        optional=("violations",),
    ),
    "seed.RegisterFarmerReply": _object(
        {
            "farmerId": _UUID,
            "custodialWallet": _TEXT,
            "poolerId": _UUID,
            "status": _TEXT,
            "currentBalance": _AMOUNT,
            "totalEarnings": _AMOUNT,
            "stakePercentage": {"type": "number"},
            "registeredAt": _TIME,
        }
    ),
    "seed.PlantReply": _counted(
        {},
        totalRequested=_COUNT,
        successfulPlants=_COUNT,
        failedPlants=_COUNT,
        totalStaked=_AMOUNT,
    ),
    "seed.WorkReply": _counted(
        {"nonce": _TEXT},
        totalSubmissions=_COUNT,
        validNonces=_COUNT,
        invalidNonces=_COUNT,
        submittedWork=_COUNT,
        totalRewards=_AMOUNT,
    ),
    "seed.HarvestReply": _counted(
        {},
        totalEligible=_COUNT,
        successfulHarvests=_COUNT,
        failedHarvests=_COUNT,
        totalRewards=_AMOUNT,
    ),
    "seed.Health": _object(
        {
            "status": {"type": "string", "enum": ["healthy", "degraded", "unhealthy"]},
            "services": _SERVICES,
            "uptime": _COUNT,
            "timestamp": _TIME,
            "version": _TEXT,
        }
    ),
    "seed.Info": _object(
        {
            "service": _TEXT,
            "version": _TEXT,
            "network": _object({"type": _TEXT, "horizon": _TEXT, "kaleContractId": _TEXT}),
            "config": _object({"maxFarmers": _COUNT, "rateLimit": _COUNT}),
            "uptime": _COUNT,
            "services": _SERVICES,
        }
    ),
}

_ERRORS = {
    400: "The request is wrong, or the state does not allow it.",
    401: "No token, or a wrong one.",
    403: "The token does not allow it.",
    404: "There is no such pooler.",
    408: "The body did not arrive in time.",
    409: "Somebody changed the same at the same time.",
    413: "The body is too large.",
    415: "The body is not JSON in UTF-8.",
    429: "A limit is reached.",
    500: "A defect of the pool.",
    503: "Something that is needed is away.",
    504: "The time is over; what was accepted goes on.",
}


def _content(schema: str, example: Any = None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    if example is not None:
        content["example"] = example
    return {"application/json": content}


def _errors(*left_out: int) -> dict[str, Any]:
    return {
        str(status): {"description": text, "content": _content("seed.Error")}
        for status, text in _ERRORS.items()
        if status not in left_out
    }


def _action(
    name: str, summary: str, asked: dict[str, Any], replied: dict[str, Any], status: int = 200
) -> dict[str, Any]:
    return {
        "post": {
            "operationId": f"Seed_{name}",
            "summary": summary,
            "tags": ["Seed"],
            "parameters": [],
            "requestBody": {"required": True, "content": _content(f"seed.{name}Request", asked)},
            "responses": {
                str(status): {
                    "description": "What became of it.",
                    "content": _content(f"seed.{name}Reply", replied),
                },
                **_errors(),
            },
        }
    }


def _look(name: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {
        "get": {
            "operationId": f"Seed_{name}",
            "summary": summary,
            "tags": ["Seed"],
            "parameters": [],
            "security": [{}, {"token": []}],
            "responses": responses,
        }
    }


_OF_BLOCK = {"blockIndex": 12345, "poolerId": _POOLER}
_DONE = {"processingTimeMs": 2340, "timestamp": _MOMENT, "failures": []}
SEED_PATHS: dict[str, Any] = {
    "/farmers/register": _action(
        "RegisterFarmer",
        "Registers a farmer",
        {"poolerId": _POOLER, "stakePercentage": 0.8, "metadata": {"minerInfo": "16 cores"}},
        {
            "farmerId": _FARMER,
            "custodialWallet": _ACCOUNT,
            "poolerId": _POOLER,
            "status": "active",
            "currentBalance": "0",
            "totalEarnings": "0",
            "stakePercentage": 0.8,
            "registeredAt": _MOMENT,
        },
        status=201,
    ),
    "/plant": _action(
        "Plant",
        "Plants a pooler's farmers in a block",
        {**_OF_BLOCK, "maxFarmersCapacity": 100},
        {
            **_OF_BLOCK,
            "totalRequested": 85,
            "successfulPlants": 82,
            "failedPlants": 3,
            "totalStaked": "1500000000000",
            **_DONE,
        },
    ),
    "/work": _action(
        "Work",
        "Submits nonces for farmers who planted in the block",
        {
            **_OF_BLOCK,
            "submissions": [
                {"farmerId": _FARMER, "nonce": "123456789", "timestamp": 1692975600000}
            ],
        },
        {
            **_OF_BLOCK,
            "totalSubmissions": 50,
            "validNonces": 35,
            "invalidNonces": 15,
            "submittedWork": 32,
            "totalRewards": "25000000000",
            **_DONE,
            "failures": [
                {
                    "farmerId": _FARMER,
                    "nonce": "123456789",
                    "reason": "ZEROS_TOO_LOW",
                    "message": "7 zeros were submitted before",
                }
            ],
        },
    ),
    "/harvest": _action(
        "Harvest",
        "Harvests a closed block",
        _OF_BLOCK,
        {
            **_OF_BLOCK,
            "totalEligible": 45,
            "successfulHarvests": 43,
            "failedHarvests": 2,
            "totalRewards": "50000000000",
            **_DONE,
        },
    ),
    "/health": _look(
        "Health",
        "Tells which services serve",
        {
            "200": {"description": "All or some serve.", "content": _content("seed.Health")},
            **_errors(408, 409, 413, 415, 404, 503),
            "503": {"description": "Nothing can be farmed.", "content": _content("seed.Health")},
        },
    ),
    "/info": _look(
        "Info",
        "Tells what the pool is",
        {
            "200": {"description": "Network and limits.", "content": _content("seed.Info")},
            **_errors(408, 409, 413, 415, 404),
        },
    ),
}
