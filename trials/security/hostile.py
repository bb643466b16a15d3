"""Hostile requests: valid protobuf with hostile values, half-correct messages, random bytes.

Messages are made from their descriptors, so that a new RPC is covered without a change here.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from kalepool.rules.v1 import rules_pb2

from libs.common.paging import encode_token

TEXTS = (
    "",
    "x",
    "0" * 10_000,
    "\x00",
    "\n",
    "💥" * 50,
    "\u202e\u0000",
    "../../etc/passwd",
    "'; DROP TABLE registry.farmers; --",
    "%s%n{0}${jndi:ldap://x}",
    "00000000-0000-0000-0000-000000000000",
    "GDBZZHQDKZTZXXAVEZ4X4P5A43MYRM764RPFBG45RJVK6M57BDDNE7HN",
    "NaN",
    "1e309",
    "0.1",
    encode_token([2**31 - 1]),
    encode_token([UUID(int=7)]),
    encode_token([1, UUID(int=7)]),
    "W" + "10" * 200,
)
NUMBERS = (0, 1, -1, 2, 1000, 1001, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1)
_BITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
#: Maximum depth of nested messages.
_DEPTH = 4


@dataclass(frozen=True, kw_only=True)
class Hostility:
    """A maker of requests; the same dice make the same requests."""

    #: Source of all choices.
    dice: random.Random
    #: Ids that exist, so that some requests get far.
    ids: Sequence[str] = ()

    def raw(self, message: Descriptor) -> bytes:
        """Return the bytes of one request."""
        kind = self.dice.random()
        if kind < 0.1:
            return self.dice.randbytes(self.dice.choice([0, 1, 7, 40, 4000]))
        encoded = self.message(message, sound=kind > 0.5).SerializeToString()
        if kind < 0.15 and encoded:
            return self._torn(encoded)
        return encoded

    def message(self, descriptor: Descriptor, *, sound: bool, depth: int = 0) -> Message:
        """Return a message; a sound message keeps most rules of its fields, so that it gets far."""
        message: Message = message_factory.GetMessageClass(descriptor)()
        for field in descriptor.fields:
            if depth >= _DEPTH or self.dice.random() < (0.05 if sound else 0.2):
                continue
            self._set(message, field, sound=sound and self.dice.random() < 0.95, depth=depth)
        return message

    def _set(self, message: Message, field: FieldDescriptor, *, sound: bool, depth: int) -> None:
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            return
        if field.is_repeated:
            count = self.dice.choice([1, 2, 3] if sound else [0, 1, 2, 3, 1100])
            items = [self._value(field, sound=sound, depth=depth) for _ in range(count)]
            getattr(message, field.name).extend(items)
        elif inner is not None:
            getattr(message, field.name).CopyFrom(self._value(field, sound=sound, depth=depth))
        else:
            setattr(message, field.name, self._value(field, sound=sound, depth=depth))

    def _value(self, field: FieldDescriptor, *, sound: bool, depth: int) -> Any:
        if field.message_type is not None:
            return self.message(field.message_type, sound=sound, depth=depth + 1)
        rules: rules_pb2.FieldRules = field.GetOptions().Extensions[rules_pb2.field]
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_STRING:
                return self._text(field, rules, sound=sound)
            case FieldDescriptor.CPPTYPE_BOOL:
                return self.dice.random() < 0.5
            case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
                return self.dice.choice([0.0, -1.5, 1e300, float("nan"), float("inf")])
            case FieldDescriptor.CPPTYPE_ENUM:
                return self.dice.choice([0, 1, 2] if sound else [0, 1, 77, -1])
        return self._number(field, rules, sound=sound)

    def _text(self, field: FieldDescriptor, rules: rules_pb2.FieldRules, *, sound: bool) -> Any:
        if field.type == FieldDescriptor.TYPE_BYTES:
            length = rules.max_len if sound else self.dice.choice([0, 1, 31, 33, 5000])
            return self.dice.randbytes(length)
        if sound and rules.format == rules_pb2.FORMAT_UUID:
            return self.dice.choice([*self.ids, str(UUID(int=self.dice.getrandbits(128)))])
        if sound and not rules.format:
            return ""
        return self.dice.choice(TEXTS)

    def _number(self, field: FieldDescriptor, rules: rules_pb2.FieldRules, *, sound: bool) -> int:
        low, high = _BITS[field.cpp_type]
        if sound:
            low = max(low, rules.min) if rules.HasField("min") else 0
            high = min(high, rules.max) if rules.HasField("max") else high
            if self.dice.random() < 0.5:
                return min(high, low + self.dice.randrange(5))
        return self.dice.choice([number for number in NUMBERS if low <= number <= high] or [low])

    def _torn(self, encoded: bytes) -> bytes:
        """Return an encoded message that lost its end, or one of its bits."""
        if self.dice.random() < 0.5:
            return encoded[: self.dice.randrange(len(encoded))]
        place = self.dice.randrange(len(encoded))
        changed = encoded[place] ^ (1 << self.dice.randrange(8))
        return encoded[:place] + bytes([changed]) + encoded[place + 1 :]
