"""SEP-53: signed messages, by the vectors of the proposal."""

import base64

import pytest
from stellar_sdk import Keypair

from libs.kale.signed_message import is_signed_by, message_hash

#: The key and the signatures of SEP-53's own test cases.
SEED = "SAKICEVQLYWGSOJS4WW7HZJWAHZVEEBS527LHK5V4MLJALYKICQCJXMW"
ADDRESS = "GBXFXNDLV4LSWA4VB7YIL5GBD7BVNR22SGBTDKMO2SBZZHDXSKZYCP7L"
VECTORS = {
    "Hello, World!": (
        "fO5dbYhXUhBMhe6kId/cuVq/AfEnHRHEvsP8vXh03M1uLpi5e46yO2Q8rEBzu3feXQewcQE5GArp88u6ePK6BA=="
    ),
    "こんにちは、世界！": (
        "CDU265Xs8y3OWbB/56H9jPgUss5G9A0qFuTqH2zs2YDgTm+++dIfmAEceFqB7bhfN3am59lCtDXrCtwH2k1GBA=="
    ),
}


@pytest.mark.parametrize("text", VECTORS)
def test_a_message_is_signed_as_sep_53_says(text: str) -> None:
    signature = base64.b64decode(VECTORS[text])
    assert is_signed_by(ADDRESS, text, signature)
    assert Keypair.from_secret(SEED).sign(message_hash(text)) == signature


def test_another_text_key_or_signature_is_none() -> None:
    (text, sealed), other = next(iter(VECTORS.items())), Keypair.random()
    signature = base64.b64decode(sealed)
    assert not is_signed_by(ADDRESS, text + " ", signature)
    assert not is_signed_by(other.public_key, text, signature)
    assert not is_signed_by(ADDRESS, text, signature[:-1])
    assert not is_signed_by(ADDRESS, text, bytes(64))
    assert not is_signed_by("M" + ADDRESS[1:], text, signature)
    # Not the text alone: what has no prefix could be a transaction.
    assert not is_signed_by(other.public_key, text, other.sign(text.encode()))
