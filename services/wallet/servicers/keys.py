"""kalepool.wallet.v1.KeyService: operators' requests about key-encryption keys."""

from typing import Any, TypeAlias

import grpc
from kalepool.wallet.v1 import keys_pb2, keys_pb2_grpc

from libs.common.grpc.identity import caller
from services.wallet.domain.key_rotation import KeyRotation
from services.wallet.engine.rotation import KeyRotator
from services.wallet.servicers.messages import timestamp

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = keys_pb2.DESCRIPTOR.services_by_name["KeyService"].full_name


class KeyServicer(keys_pb2_grpc.KeyServiceServicer):
    """Thin servicer: each method is one call of the rotator."""

    def __init__(self, rotator: KeyRotator) -> None:
        self._rotator = rotator

    async def GetKeyStatus(
        self, request: keys_pb2.GetKeyStatusRequest, context: Context
    ) -> keys_pb2.GetKeyStatusResponse:
        """See keys.proto."""
        status = await self._rotator.status()
        return keys_pb2.GetKeyStatusResponse(
            provider=status.provider,
            current_kek_id=status.current_kek_id,
            complaint=status.complaint,
            keks=[
                keys_pb2.KekUse(kek_id=use.kek_id, data_keys=use.keys, is_openable=use.is_openable)
                for use in status.keks
            ],
            rotation=None if status.rotation is None else _rotation(status.rotation),
        )

    async def RotateKeys(
        self, request: keys_pb2.RotateKeysRequest, context: Context
    ) -> keys_pb2.RotateKeysResponse:
        """See keys.proto."""
        rotation = await self._rotator.start(actor=caller().actor)
        return keys_pb2.RotateKeysResponse(rotation=_rotation(rotation))


def _rotation(rotation: KeyRotation) -> keys_pb2.KeyRotation:
    return keys_pb2.KeyRotation(
        kek_id=rotation.kek_id,
        rewrapped=rotation.rewrapped,
        failed=rotation.failed,
        started_at=timestamp(rotation.started_at),
        ended_at=None if rotation.ended_at is None else timestamp(rotation.ended_at),
    )
