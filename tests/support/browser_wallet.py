"""A small wallet in place of a browser's extension: a real key behind Freighter's messages."""

import base64
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import BrowserContext
from stellar_sdk import Keypair, TransactionEnvelope

#: Listens as the extension's own script does, and answers what Python says.
_LISTENS = """
addEventListener("message", async (event) => {
  const request = event.data;
  if (event.source !== window || request?.source !== "FREIGHTER_EXTERNAL_MSG_REQUEST") return;
  const answer = await window.askTestWallet(request);
  postMessage(
    { source: "FREIGHTER_EXTERNAL_MSG_RESPONSE", messagedId: request.messageId, ...answer },
    location.origin);
});
"""


@dataclass(kw_only=True)
class BrowserWallet:
    """A wallet, and how it behaves."""

    #: The key of the account that it shows.
    key: Keypair
    #: Passphrase of its network.
    passphrase: str
    #: The key that it signs with, where that is another one.
    signs_with: Keypair | None = None
    #: Types of messages that its person refuses.
    refuses: set[str] = field(default_factory=set)
    #: Whether it answers as old wallets do: with the bytes of a signature.
    is_old: bool = False
    #: Types of messages that it was asked.
    asked: list[str] = field(default_factory=list)

    async def join(self, context: BrowserContext) -> None:
        """Answer the pages of a browser from now on."""
        await context.expose_function("askTestWallet", self.answer)
        await context.add_init_script(_LISTENS)

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a message as the extension does."""
        kind = request["type"]
        self.asked.append(kind)
        if kind in self.refuses:
            message = "The user rejected this request."
            return {"apiError": {"code": -4, "message": message}, "error": message}
        match kind:
            case "REQUEST_CONNECTION_STATUS":
                return {"isConnected": True}
            case "REQUEST_ACCESS":
                return {"publicKey": self.key.public_key}
            case "REQUEST_NETWORK_DETAILS":
                return {"networkDetails": {"networkPassphrase": self.passphrase}}
            case "SUBMIT_TRANSACTION":
                return self._signed(request)
            case "SUBMIT_BLOB":
                return self._message(request)
            case _:
                raise AssertionError(kind)

    def _signed(self, request: dict[str, Any]) -> dict[str, Any]:
        assert request["accountToSign"] == self.key.public_key
        envelope = TransactionEnvelope.from_xdr(
            request["transactionXdr"], request["networkPassphrase"]
        )
        envelope.sign(self._signer)
        return {"signedTransaction": envelope.to_xdr(), "signerAddress": self.key.public_key}

    def _message(self, request: dict[str, Any]) -> dict[str, Any]:
        assert request["accountToSign"] == self.key.public_key
        signature = self._signer.sign_message(request["blob"])
        signed: object = base64.b64encode(signature).decode()
        if self.is_old:
            signed = {"type": "Buffer", "data": list(signature)}
        return {"signedBlob": signed, "signerAddress": self.key.public_key}

    @property
    def _signer(self) -> Keypair:
        return self.signs_with or self.key
