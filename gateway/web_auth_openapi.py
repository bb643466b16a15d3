"""The paths of logins with Stellar accounts in the OpenAPI document: SEP-10's, written by hand."""

from collections.abc import Mapping
from typing import Any

from libs.http.reference.document import PROBLEM_SCHEMA, Schema

_ACCOUNT = "GAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB7JZX"
_TEXT = {"type": "string"}
_SIGNED = {
    "type": "string",
    "maxLength": 8192,
    "description": "The challenge (TransactionEnvelope, base64) with the account's signatures.",
}
_SIGNATURE = {
    "type": "string",
    "description": (
        "In place of those: the account's own signature (SEP-53, base64) over the challenge's text."
    ),
}
_TAG = "Login"
#: What this part of the interface is.
TAG: Mapping[str, str] = {
    "name": _TAG,
    "description": (
        "Logging in with a farmer's owner account, as Stellar wallets do it (SEP-10). The token is "
        "taken as a bearer's by all paths that are for owner accounts."
    ),
}
_ERRORS: Mapping[int, str] = {
    400: "The request is wrong, or nobody logs in here: see `reason` and `violations`.",
    401: "The challenge is none of ours, has ended, was used, or is not signed as it has to be.",
    403: "Not for the gateway.",
    404: "Nobody logs in here.",
    408: "The body did not arrive in time.",
    409: "Somebody changed the same at the same time.",
    413: "The body is too large.",
    415: "The body is neither JSON nor a form.",
    429: "A limit is reached; `Retry-After` says when to come again.",
    500: "A defect of the pool, whose log has the details.",
    503: "Something that is needed is away; the same request succeeds later.",
    504: "The time is over.",
}
_ANY_ORIGIN = {
    "Access-Control-Allow-Origin": {"schema": {"type": "string", "enum": ["*"]}},
}


def _object(**properties: Any) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


#: The schemas that the paths name.
WEB_AUTH_SCHEMAS: dict[str, Schema] = {
    "login.Error": {
        **PROBLEM_SCHEMA,
        "description": "What went wrong: a problem (RFC 9457) with the `error` of SEP-10.",
        "required": ["error", *PROBLEM_SCHEMA["required"]],
        "properties": {
            "error": {"type": "string", "description": "What went wrong, for people."},
            **PROBLEM_SCHEMA["properties"],
        },
    },
    "login.Challenge": _object(
        transaction={"type": "string", "description": "The challenge, signed by the pool alone."},
        network_passphrase=_TEXT,
        text={"type": "string", "description": "What may be signed instead (SEP-53)."},
    ),
    "login.Request": {
        "type": "object",
        "required": ["transaction"],
        "properties": {"transaction": _SIGNED, "signature": _SIGNATURE},
    },
    "login.Token": _object(
        token={"type": "string", "description": "A JSON Web Token: send it as a bearer's."}
    ),
}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _responses(description: str, content: Mapping[str, Any]) -> dict[str, Any]:
    errors = {
        str(status): {
            "description": text,
            "headers": _ANY_ORIGIN,
            "content": {"application/problem+json": {"schema": _reference("login.Error")}},
        }
        for status, text in _ERRORS.items()
    }
    return {
        "200": {"description": description, "headers": _ANY_ORIGIN, "content": content},
        **errors,
    }


def _parameter(name: str, description: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": _TEXT,
        **more,
    }


_CHALLENGED = {
    "transaction": "AAAAAgAAAAA...",
    "network_passphrase": "Public Global Stellar Network ; September 2015",
    "text": "KALE pool\nI log in.\n...",
}
WEB_AUTH_PATHS: dict[str, Any] = {
    "/.well-known/stellar.toml": {
        "get": {
            "operationId": "Login_StellarToml",
            "summary": "Tells what a Stellar wallet has to know (SEP-1)",
            "tags": [_TAG],
            "parameters": [],
            "security": [{}],
            "responses": _responses(
                "TOML with NETWORK_PASSPHRASE, SIGNING_KEY and WEB_AUTH_ENDPOINT.",
                {"text/plain": {"schema": _TEXT}},
            ),
        }
    },
    "/auth": {
        "get": {
            "operationId": "Login_Challenge",
            "summary": "Gives an account a challenge to sign (SEP-10)",
            "tags": [_TAG],
            "parameters": [
                _parameter("account", "The account (G...).", required=True, example=_ACCOUNT),
                _parameter("home_domain", "This pool's home domain, or nothing."),
                _parameter("memo", "Must not be set: shared accounts do not log in."),
                _parameter("client_domain", "Is not looked at."),
            ],
            "security": [{}],
            "responses": _responses(
                "The challenge.",
                {
                    "application/json": {
                        "schema": _reference("login.Challenge"),
                        "example": _CHALLENGED,
                    }
                },
            ),
        },
        "post": {
            "operationId": "Login_Token",
            "summary": "Gives a token for a challenge that was signed (SEP-10)",
            "tags": [_TAG],
            "parameters": [],
            "security": [{}],
            "requestBody": {
                "required": True,
                "content": {
                    kind: {
                        "schema": _reference("login.Request"),
                        "example": {"transaction": "AAAAAgAAAAA..."},
                    }
                    for kind in ("application/json", "application/x-www-form-urlencoded")
                },
            },
            "responses": _responses(
                "The token.",
                {
                    "application/json": {
                        "schema": _reference("login.Token"),
                        "example": {"token": "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl"},
                    }
                },
            ),
        },
    },
}
