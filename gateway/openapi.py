"""The OpenAPI document (3.1), from the descriptors of what is served, their rules and comments."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.bindings import Binding
from gateway.comments import comment_of, summary_of
from gateway.examples import example_of, value_of
from gateway.schemas import Schemas, name_of
from gateway.seed_openapi import SEED_PATHS, SEED_SCHEMAS, seed_requests
from gateway.web_auth_openapi import TAG, WEB_AUTH_PATHS, WEB_AUTH_SCHEMAS
from libs.common.version import VERSION
from libs.http.reference.document import PROBLEM_SCHEMA, Document, problems

_ABOUT = (
    "The KALE pool by HTTP. Amounts are whole numbers of stroops (1 KALE = 10^7 stroops) as "
    "strings; every field is there, also when it is empty. Errors are problems (RFC 9457) with a "
    "machine-readable `reason` and, where fields are wrong, all `violations`. A request with an "
    "`Idempotency-Key` may be repeated: the repeat gives the first answer. Streams are server-sent "
    "events, which `Last-Event-ID` resumes."
)
#: What any request may be answered with, besides success.
_ALWAYS: Mapping[int, str] = {
    400: "The request is wrong, or the state does not allow it: see `reason` and `violations`.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not JSON in UTF-8.",
    429: "A limit is reached; `Retry-After` says when to come again.",
    500: "A defect of the pool, whose log has the details.",
    503: "Something that is needed is away; the same request succeeds later.",
    504: "The time is over; what was accepted goes on. Ask again with the same Idempotency-Key.",
}
_WITH_TOKEN: Mapping[int, str] = {
    401: "No token, or one that there is not, has ended or was revoked.",
    403: "The token does not allow it, or what is named is not yours, or does not exist.",
}
_NAMED: Mapping[int, str] = {
    404: "What is named does not exist.",
    409: "It is there already, or somebody changed it at the same time.",
}
_STATUSES = {**_ALWAYS, **_WITH_TOKEN, **_NAMED}


def document_of(bindings: Sequence[Binding]) -> Document:
    """Return the document of all that is served."""
    schemas = Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for binding in bindings:
        item = paths.setdefault(_path(binding), {})
        item[binding.verb.lower()] = _operation(binding, schemas)
    by_hand = {**seed_requests(schemas), **SEED_SCHEMAS, **WEB_AUTH_SCHEMAS}
    tags = {_tag(binding): binding.method.descriptor.containing_service for binding in bindings}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "KALE pool",
            "version": VERSION,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [
            *(
                {"name": tag, "description": comment_of(service.full_name)}
                for tag, service in tags.items()
            ),
            {"name": "Seed", "description": "The paths of the earlier backend, word for word."},
            dict(TAG),
        ],
        "paths": {**dict(sorted(paths.items())), **SEED_PATHS, **WEB_AUTH_PATHS},
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "kp_...",
                    "description": "An API token, which `kalepool token create` makes; or a login "
                    "token (JSON Web Token), which POST /auth gives to owner accounts.",
                }
            },
            "schemas": {
                "Problem": PROBLEM_SCHEMA,
                **dict(sorted(schemas.all.items())),
                **by_hand,
            },
        },
    }


def _path(binding: Binding) -> str:
    """Return the path with the names of variables as JSON has them."""
    path, fields = binding.template.text, binding.method.descriptor.input_type.fields_by_name
    for name in binding.template.variables:
        path = path.replace(f"{{{name}}}", f"{{{fields[name].json_name}}}")
    return path


def _tag(binding: Binding) -> str:
    return binding.method.descriptor.containing_service.name.removesuffix("Service")


def _operation(binding: Binding, schemas: Schemas) -> dict[str, Any]:
    descriptor = binding.method.descriptor
    operation: dict[str, Any] = {
        "operationId": _operation_id(binding),
        "summary": summary_of(descriptor.full_name),
        "description": comment_of(descriptor.full_name),
        "tags": [_tag(binding)],
        "parameters": [*_parameters(binding, schemas), *_headers(binding)],
        "responses": {
            "200": _success(binding, schemas),
            **problems(_STATUSES),
        },
    }
    if binding.method.is_public:
        operation["security"] = [{}, {"token": []}]
    if binding.has_body:
        operation["requestBody"] = _body(binding, schemas)
    return operation


def _operation_id(binding: Binding) -> str:
    """Return a name that no other operation has: further ways to an RPC are named by their path."""
    service, name = _tag(binding), binding.method.descriptor.name
    if binding.is_main:
        return f"{service}_{name}"
    literals = [segment for segment in binding.template.segments[1:] if segment]
    ending = "_".join([*literals, *filter(None, [binding.template.verb])])
    return f"{service}_{name}_{ending}".replace("-", "_")


def _parameters(binding: Binding, schemas: Schemas) -> Iterable[dict[str, Any]]:
    """Yield what stands in the path and, without a body, in the query."""
    for field in binding.method.descriptor.input_type.fields:
        is_bound = field.name in binding.template.variables
        is_message = field.message_type is not None
        if not is_bound and (binding.has_body or is_message or _is_other(binding, field)):
            continue
        schema = schemas.field(field, is_request=True)
        description = schema.pop("description", "")
        required = is_bound or field.json_name in schemas.message(
            binding.method.descriptor.input_type, is_request=True, left_out=()
        ).get("required", [])
        parameter = {
            "name": field.json_name,
            "in": "path" if is_bound else "query",
            "required": required,
            "description": description,
            "schema": schema,
        }
        if required:
            parameter["example"] = value_of(field)
        yield parameter


def _is_other(binding: Binding, field: Any) -> bool:
    """Tell whether the path has another field of the same oneof, of which there is one."""
    oneof = field.containing_oneof
    if oneof is None or len(oneof.fields) == 1:
        return False
    return any(one.name in binding.template.variables for one in oneof.fields)


def _headers(binding: Binding) -> Iterable[dict[str, Any]]:
    if binding.method.has_request_id and binding.has_body:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "The request's `requestId`, for those who rather name it here.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 128},
        }
    if binding.method.resume is not None:
        yield {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "description": "The id of the last event that was taken: the stream goes on after it.",
            "schema": {"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,20})?$"},
        }


def _body(binding: Binding, schemas: Schemas) -> dict[str, Any]:
    descriptor = binding.method.descriptor.input_type
    left_out = binding.template.variables
    if left_out:
        schema = schemas.message(descriptor, is_request=True, left_out=left_out)
    else:
        schema = schemas.reference(descriptor, is_request=True)
    example = example_of(descriptor, left_out=left_out)
    required = bool(schemas.message(descriptor, is_request=True, left_out=left_out).get("required"))
    return {
        "required": required,
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def _success(binding: Binding, schemas: Schemas) -> dict[str, Any]:
    output = binding.method.descriptor.output_type
    reference = schemas.reference(output, is_request=False)
    description = comment_of(output.full_name) or name_of(output)
    if binding.method.resume is None:
        content = {"application/json": {"schema": reference, "example": example_of(output)}}
        return {"description": description, "content": content}
    schema = {
        "type": "string",
        "description": (
            f"Events whose data is JSON ({name_of(output)}). A comment is a sign of life; an event "
            "`error` with a problem is the last one."
        ),
    }
    return {"description": description, "content": {"text/event-stream": {"schema": schema}}}
