"""The RPCs that are served by HTTP, found in the descriptors by their google.api.http rules."""

from collections.abc import Iterator
from dataclasses import dataclass

from google.api import annotations_pb2, http_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from kalepool.rules.v1 import rules_pb2

from gateway.reader import check_readable
from libs.common.grpc.rpcs import path_of, services
from libs.http.template import Template, parse_template

#: Where RPCs of kalepool.common are served: by every service.
EVERYWHERE = "common"
#: The field that makes a repeat give the first answer.
REQUEST_ID = "request_id"


class BindingError(Exception):
    """The protos declare an HTTP rule that cannot be served; found when the gateway starts."""


@dataclass(frozen=True, kw_only=True)
class Resume:
    """How a reader of a stream goes on where its connection broke."""

    #: Field of the request that takes the cursor.
    after: str
    #: Names that lead to a response's cursor.
    cursor: tuple[str, ...]
    #: Names that lead to the number that tells changes of the same thing apart.
    change: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Method:
    """One RPC."""

    #: Its descriptor.
    descriptor: MethodDescriptor
    #: Full name as a path of HTTP/2: /kalepool.plant.v1.PlantService/Plant.
    path: str
    #: Short name of the service that serves it, or EVERYWHERE.
    served_by: str
    #: Class of its requests.
    request_class: type[Message]
    #: Class of its responses.
    response_class: type[Message]
    #: Whether anybody may call it.
    is_public: bool
    #: How its stream is resumed; None: it answers once.
    resume: Resume | None

    @property
    def has_request_id(self) -> bool:
        """Tell whether a request may be named, so that a repeat gives the first answer."""
        return REQUEST_ID in self.descriptor.input_type.fields_by_name


@dataclass(frozen=True, kw_only=True)
class Binding:
    """One way by HTTP to one RPC."""

    #: The RPC.
    method: Method
    #: GET, POST, PUT, PATCH or DELETE.
    verb: str
    #: Its path.
    template: Template
    #: Whether the body holds all fields that the path does not; else the query does.
    has_body: bool
    #: Whether this is the way that the rule names first.
    is_main: bool


def all_bindings() -> list[Binding]:
    """Return every way by HTTP to every RPC that has one.

    Raise BindingError for a rule that cannot be served.
    """
    return [
        binding
        for service in services()
        for method in service.methods
        for binding in bindings_of(method)
    ]


def bindings_of(descriptor: MethodDescriptor) -> Iterator[Binding]:
    """Yield the ways by HTTP to one RPC; none when it has no rule."""
    options = descriptor.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return
    rule = options.Extensions[annotations_pb2.http]
    method = _method(descriptor)
    yield _binding(method, rule, is_main=True)
    for more in rule.additional_bindings:
        yield _binding(method, more, is_main=False)


def _method(descriptor: MethodDescriptor) -> Method:
    service = descriptor.containing_service
    extra = descriptor.GetOptions().Extensions[rules_pb2.http]
    if descriptor.client_streaming:
        raise BindingError(f"{descriptor.full_name} takes a stream, which HTTP cannot send")
    if descriptor.server_streaming != extra.HasField("resume"):
        raise BindingError(f"{descriptor.full_name}: streams, and they alone, have a resume rule")
    try:
        check_readable(descriptor.input_type)
    except TypeError as error:
        raise BindingError(str(error)) from error
    return Method(
        descriptor=descriptor,
        path=path_of(descriptor),
        served_by=extra.served_by or service.file.package.split(".")[1],
        request_class=message_factory.GetMessageClass(descriptor.input_type),
        response_class=message_factory.GetMessageClass(descriptor.output_type),
        is_public=extra.is_public,
        resume=_resume(descriptor, extra.resume) if extra.HasField("resume") else None,
    )


def _resume(descriptor: MethodDescriptor, rules: rules_pb2.ResumeRules) -> Resume:
    resume = Resume(
        after=rules.after,
        cursor=tuple(rules.cursor.split(".")),
        change=tuple(rules.change.split(".")),
    )
    has_paths = all(_has(descriptor.output_type, path) for path in (resume.cursor, resume.change))
    if resume.after not in descriptor.input_type.fields_by_name or not has_paths:
        raise BindingError(f"{descriptor.full_name}: its resume rule names no field")
    return resume


def _has(message: Descriptor | None, path: tuple[str, ...]) -> bool:
    """Tell whether names lead to a field that is no message."""
    for name in path:
        if message is None or name not in message.fields_by_name:
            return False
        message = message.fields_by_name[name].message_type
    return message is None


def _binding(method: Method, rule: http_pb2.HttpRule, *, is_main: bool) -> Binding:
    name = method.descriptor.full_name
    verb = rule.WhichOneof("pattern")
    if verb is None or verb == "custom":
        raise BindingError(f"{name} has no path")
    if rule.body not in {"", "*"} or rule.response_body:
        raise BindingError(f'{name}: the body is all of the message ("*"), or there is none')
    if rule.body and verb == "get":
        raise BindingError(f"{name}: GET has no body")
    try:
        template = parse_template(getattr(rule, verb))
    except ValueError as error:
        raise BindingError(f"{name}: {error}") from error
    fields = method.descriptor.input_type.fields_by_name
    strange = [one for one in template.variables if one not in fields]
    if strange:
        raise BindingError(f"{name} has no field {', '.join(strange)}")
    return Binding(
        method=method,
        verb=verb.upper(),
        template=template,
        has_body=bool(rule.body),
        is_main=is_main,
    )
