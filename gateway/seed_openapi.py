"""The seed's six paths in the OpenAPI document: written by hand, as their shapes are no proto's."""

from typing import Any

_POOLER = "0190a5f0-6c2e-7b41-8a53-000000000002"
_FARMER = "0190a5f0-6c2e-7b41-8a53-000000000001"
_ACCOUNT = "GAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB7JZX"
_MOMENT = "2025-08-25T10:00:00Z"
_TEXT = {"type": "string"}
_AMOUNT = {"type": "string", "pattern": "^-?[0-9]+$", "description": "Stroops of KALE."}
_COUNT = {"type": "integer", "minimum": 0}
_TIME = {"type": "string", "format": "date-time"}
_SERVICES = {"type": "object", "additionalProperties": {"type": "boolean"}}
_REQUEST_ID = {"type": "string", "maxLength": 128}
_UUID = {
    "type": "string",
    "format": "uuid",
    "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
}
_BLOCK = {"type": "integer", "minimum": 0, "maximum": 2147483647}


def _object(properties: dict[str, Any], *, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def _asked(properties: dict[str, Any], *, optional: tuple[str, ...]) -> dict[str, Any]:
    return {
        **_object({**properties, "requestId": _REQUEST_ID}, optional=(*optional, "requestId")),
        "additionalProperties": False,
    }


def _counted(**names: Any) -> dict[str, Any]:
    return _object(
        {
            "blockIndex": _COUNT,
            "poolerId": _UUID,
            **names,
            "processingTimeMs": _COUNT,
            "timestamp": _TIME,
        }
    )


_REGISTRATION = _asked(
    {
        "poolerId": _UUID,
        "stakePercentage": {
            "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string"}],
            "description": "Part of the balance that is staked, with at most four decimals.",
        },
        "metadata": {"type": "object"},
        "payoutWalletAddress": {"type": "string", "pattern": "^(G[A-Z2-7]{55})?$"},
    },
    optional=("stakePercentage", "metadata", "payoutWalletAddress"),
)
_SUBMISSION = {
    **_object(
        {
            "farmerId": _UUID,
            "nonce": {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]},
            "timestamp": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]},
        },
        optional=("nonce", "timestamp"),
    ),
    "additionalProperties": False,
}

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
    "seed.RegisterFarmerRequest": _REGISTRATION,
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
    "seed.PlantRequest": _asked(
        {
            "blockIndex": _BLOCK,
            "poolerId": _UUID,
            "maxFarmersCapacity": {"type": "integer", "minimum": 0, "maximum": 1000},
        },
        optional=("blockIndex", "maxFarmersCapacity"),
    ),
    "seed.PlantReply": _counted(
        totalRequested=_COUNT, successfulPlants=_COUNT, failedPlants=_COUNT, totalStaked=_AMOUNT
    ),
    "seed.WorkRequest": _asked(
        {
            "blockIndex": _BLOCK,
            "poolerId": _UUID,
            "submissions": {
                "type": "array",
                "minItems": 1,
                "maxItems": 10000,
                "items": _SUBMISSION,
            },
        },
        optional=("blockIndex",),
    ),
    "seed.WorkReply": _counted(
        totalSubmissions=_COUNT,
        validNonces=_COUNT,
        invalidNonces=_COUNT,
        submittedWork=_COUNT,
        totalRewards=_AMOUNT,
    ),
    "seed.HarvestRequest": _asked(
        {"blockIndex": _BLOCK, "poolerId": _UUID}, optional=("blockIndex",)
    ),
    "seed.HarvestReply": _counted(
        totalEligible=_COUNT, successfulHarvests=_COUNT, failedHarvests=_COUNT, totalRewards=_AMOUNT
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
_DONE = {"processingTimeMs": 2340, "timestamp": _MOMENT}
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
