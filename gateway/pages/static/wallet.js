// Signs with the wallet of this browser, by the messages that Freighter's extension answers, and
// others as it does. Pages are whole without it: what it fills in can be signed elsewhere and pasted.
"use strict";

(() => {
  const REQUEST = "FREIGHTER_EXTERNAL_MSG_REQUEST";
  const RESPONSE = "FREIGHTER_EXTERNAL_MSG_RESPONSE";
  // Of this interface's version on, signatures of messages come in base64.
  const VERSION = "4.0.0";
  // Milliseconds within which a wallet says that it is there. A person then takes the time it needs.
  const THERE = 3000;

  // What a person is told: nothing was signed.
  class Refusal extends Error {}

  const wordsOf = (wrong) => {
    const text = (typeof wrong === "string" ? wrong : wrong.message) || "no reason was given";
    return /[.!?]$/.test(text) ? text : `${text}.`;
  };

  // ---- messages to the wallet, and its answers -------------------------------------------------

  const ask = (type, fields = {}, patience = 0) =>
    new Promise((resolve, reject) => {
      const messageId = Date.now() + Math.random();
      let timer = 0;
      const end = () => {
        removeEventListener("message", hear);
        clearTimeout(timer);
      };
      const hear = (event) => {
        const answer = event.data;
        if (event.source !== window || event.origin !== location.origin) return;
        // The protocol spells it so.
        if (answer?.source !== RESPONSE || answer.messagedId !== messageId) return;
        end();
        const wrong = answer.apiError || answer.error;
        if (wrong) reject(new Refusal(`The wallet has refused: ${wordsOf(wrong)}`));
        else resolve(answer);
      };
      addEventListener("message", hear);
      if (patience) {
        timer = setTimeout(() => {
          end();
          reject(new Refusal("No wallet answers in this browser. Sign elsewhere, and paste below."));
        }, patience);
      }
      postMessage({ source: REQUEST, messageId, type, ...fields }, location.origin);
    });

  const connect = async (wanted) => {
    await ask("REQUEST_CONNECTION_STATUS", {}, THERE);
    const { publicKey } = await ask("REQUEST_ACCESS");
    if (!publicKey) throw new Refusal("The wallet has not told its account.");
    if (wanted && publicKey !== wanted) {
      throw new Refusal(`The wallet uses ${publicKey}. Choose ${wanted} in it: that account signs this.`);
    }
    return publicKey;
  };

  const checkNetwork = async (passphrase) => {
    const { networkDetails } = await ask("REQUEST_NETWORK_DETAILS");
    const found = networkDetails?.networkPassphrase;
    if (found !== passphrase) {
      throw new Refusal(
        `The wallet is on another network (${found || "unknown"}). Choose the pool's in it: ${passphrase}`);
    }
  };

  // Older wallets answer with the bytes of a signature.
  const inBase64 = (signed) => {
    if (typeof signed === "string") return signed;
    const bytes = signed?.data ?? Object.values(signed ?? {});
    return btoa(String.fromCharCode(...bytes));
  };

  // ---- what a page has signed ------------------------------------------------------------------

  const signIn = async (_part, form) => {
    const account = await connect("");
    const path = `/auth?${new URLSearchParams({ account })}`;
    const reply = await fetch(path, { headers: { Accept: "application/json" } });
    const challenge = await reply.json().catch(() => ({}));
    if (!reply.ok) throw new Refusal(`The pool gives no challenge: ${wordsOf(challenge.error ?? "")}`);
    await checkNetwork(challenge.network_passphrase);
    const signed = await ask("SUBMIT_TRANSACTION", {
      transactionXdr: challenge.transaction,
      networkPassphrase: challenge.network_passphrase,
      accountToSign: account,
    });
    if (!signed.signedTransaction) throw new Refusal("The wallet has signed nothing.");
    form.elements.transaction.value = signed.signedTransaction;
  };

  const signText = async (part, form) => {
    const account = await connect(part.dataset.account);
    const signed = await ask("SUBMIT_BLOB", {
      blob: document.getElementById(part.dataset.text).value,
      accountToSign: account,
      apiVersion: VERSION,
    });
    if (signed.signerAddress && signed.signerAddress !== account) {
      throw new Refusal(`The wallet has signed with ${signed.signerAddress}; ${account} has to sign.`);
    }
    if (!signed.signedBlob) throw new Refusal("The wallet has signed nothing.");
    form.elements.signature.value = inBase64(signed.signedBlob);
  };

  const ACTS = { login: signIn, text: signText };

  const begin = (part) => {
    const button = part.querySelector("button");
    const told = part.querySelector("[role=status]");
    const form = document.getElementById(part.dataset.form);
    part.hidden = false;
    button.addEventListener("click", async () => {
      button.disabled = true;
      told.classList.remove("missing");
      told.textContent = "The wallet asks you now.";
      try {
        await ACTS[part.dataset.wallet](part, form);
        told.textContent = "Signed.";
        form.requestSubmit();
      } catch (error) {
        told.classList.add("missing");
        told.textContent = error instanceof Refusal ? error.message : "The pool cannot be reached just now.";
      } finally {
        button.disabled = false;
      }
    });
  };

  for (const part of document.querySelectorAll("[data-wallet]")) begin(part);
})();
