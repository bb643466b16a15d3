"""The HTTP rules of the protos: as many as the access table allows, each of which can be served."""

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from kalepool.rules.v1 import rules_pb2

from gateway.bindings import BindingError, all_bindings, bindings_of
from services.access import ACCESS

PROTOS = Path(__file__).resolve().parents[3] / "protos"
BINDINGS = all_bindings()
METHODS = {one.method.path: one.method for one in BINDINGS}
#: gRPC services of which nothing may come by HTTP: what they do can take keys or money.
NEVER = (
    *("CustodyService", "ApprovalService", "KeyService", "OrderService", "TokenService"),
    # It is served in the words of SEP-10.
    "LoginService",
)
#: Single methods like them.
NEVER_METHODS = ("DeployMulticall", "ReclaimReserves", "Reconcile")
#: Methods of those services that only read what operators look at every day.
LOOKS = ("ListPauses", "ListDifferences")


def test_every_method_that_may_come_by_http_has_a_rule_and_no_other_has() -> None:
    assert set(METHODS) == {path for path, entry in ACCESS.items() if entry.by_token}


def test_what_takes_keys_or_money_is_never_served() -> None:
    for path in METHODS:
        service, method = path.rpartition(".")[2].split("/")
        assert service not in NEVER or method in LOOKS
        assert method not in NEVER_METHODS


def test_what_is_public_is_what_the_gateways_certificate_may_call() -> None:
    public = {path for path, method in METHODS.items() if method.is_public}
    opened = {path for path, entry in ACCESS.items() if "gateway" in entry.services}
    assert public == {
        path for path in opened if "TokenService" not in path and "LoginService" not in path
    }


def test_reading_is_get_and_acting_is_not() -> None:
    for binding in BINDINGS:
        reads = binding.method.descriptor.name.startswith(("Get", "List", "Watch"))
        if binding.is_main:
            assert (binding.verb == "GET") is reads, binding.method.path
        assert binding.has_body is (binding.verb not in {"GET", "DELETE"})


def test_every_way_is_there_once() -> None:
    ways = [(one.verb, one.template.segments, one.template.verb) for one in BINDINGS]
    assert len(set(ways)) == len(ways)


_numbers = itertools.count()


def made(change: Callable[[Any], None]) -> Any:
    """A method of a service that is made for a test, with a rule that is changed."""
    name = f"kalepool.scratch{next(_numbers)}.v1"
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package=name, syntax="proto3")
    for message in ("In", "Out"):
        described = file.message_type.add(name=message)
        described.field.add(name="index", number=1, type="TYPE_INT64", label="LABEL_OPTIONAL")
    method = file.service.add(name="S").method.add(
        name="M", input_type=f".{name}.In", output_type=f".{name}.Out"
    )
    method.options.Extensions[annotations_pb2.http].get = "/v1/things/{index}"
    change(method)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(f"{name}.S").methods[0]


def rule_of(method: Any) -> Any:
    return method.options.Extensions[annotations_pb2.http]


def test_a_rule_becomes_ways() -> None:
    def change(method: Any) -> None:
        more = rule_of(method).additional_bindings.add(post="/v1/things:find")
        more.body = "*"

    main, other = bindings_of(made(change))
    assert (main.verb, main.template.text, main.has_body) == ("GET", "/v1/things/{index}", False)
    assert (other.verb, other.template.verb, other.has_body) == ("POST", "find", True)
    assert (main.is_main, other.is_main) == (True, False)
    assert main.method.served_by.startswith("scratch")
    assert not main.method.is_public


def test_a_method_without_a_rule_is_not_served() -> None:
    assert list(bindings_of(made(lambda method: method.ClearField("options")))) == []


def _streams(method: Any) -> None:
    method.server_streaming = True


def _resume(**names: str) -> Callable[[Any], None]:
    def change(method: Any) -> None:
        _streams(method)
        method.options.Extensions[rules_pb2.http].resume.CopyFrom(rules_pb2.ResumeRules(**names))

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda method: rule_of(method).ClearField("get"), "has no path"),
        (lambda method: setattr(rule_of(method), "body", "*"), "GET has no body"),
        (lambda method: setattr(rule_of(method), "body", "index"), "the body is all"),
        (lambda method: setattr(rule_of(method), "response_body", "index"), "the body is all"),
        (lambda method: setattr(rule_of(method), "get", "/v1/{nobody}"), "has no field nobody"),
        (lambda method: setattr(rule_of(method), "get", "/v1/**"), "cannot be served"),
        (lambda method: setattr(method, "client_streaming", True), "takes a stream"),
        (_streams, "have a resume rule"),
        (_resume(after="nobody", cursor="index", change="index"), "names no field"),
        (_resume(after="index", cursor="no.body", change="index"), "names no field"),
    ],
)
def test_a_rule_that_cannot_be_served_stops_the_start(
    change: Callable[[Any], None], why: str
) -> None:
    with pytest.raises(BindingError, match=why.replace("*", r"\*")):
        list(bindings_of(made(change)))


def test_a_stream_with_a_sound_rule_is_served() -> None:
    (binding,) = bindings_of(made(_resume(after="index", cursor="index", change="index")))
    assert binding.method.resume is not None


def test_the_google_protos_are_those_of_the_library() -> None:
    """The copies in protos/google are what our protos are compiled with, and buf sees."""
    for module in (annotations_pb2, http_pb2):
        library = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(library)
        with tempfile.NamedTemporaryFile() as described:
            command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}"]
            command += [f"--descriptor_set_out={described.name}", library.name]
            subprocess.run(command, check=True)
            ours = descriptor_pb2.FileDescriptorSet.FromString(Path(described.name).read_bytes())
        # The library leaves out what follows from the names.
        for message in ours.file[0].message_type:
            for field in message.field:
                field.ClearField("json_name")
        for extension in ours.file[0].extension:
            extension.ClearField("json_name")
        assert ours.file[0] == library
