// A farmer who knows nothing of this project: only the public calls of the Stellar SDK.
//
// node client.mjs RPC_URL FRIENDBOT_URL FARM ASSET PASSPHRASE BLOCK_SECONDS
//
// Funds itself, adds a trustline, plants, works, opens the next block, harvests; prints what came
// of it as one line of JSON.

import { keccak_256 } from "@noble/hashes/sha3";
import {
  Asset,
  BASE_FEE,
  Contract,
  Keypair,
  Operation,
  TransactionBuilder,
  nativeToScVal,
  rpc,
  scValToNative,
  xdr,
} from "@stellar/stellar-sdk";

const [rpcUrl, friendbotUrl, farm, assetText, passphrase, blockSeconds] = process.argv.slice(2);
const server = new rpc.Server(rpcUrl, { allowHttp: true });
const farmer = Keypair.random();
const contract = new Contract(farm);
const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

async function settle(transaction) {
  transaction.sign(farmer);
  const sent = await server.sendTransaction(transaction);
  if (sent.status !== "PENDING") throw new Error(`sendTransaction: ${JSON.stringify(sent)}`);
  const found = await server.pollTransaction(sent.hash, {
    attempts: 60,
    sleepStrategy: () => 250,
  });
  if (found.status !== "SUCCESS") throw new Error(`${found.status}: ${JSON.stringify(found)}`);
  return found;
}

async function build(operation) {
  const account = await server.getAccount(farmer.publicKey());
  return new TransactionBuilder(account, { fee: BASE_FEE, networkPassphrase: passphrase })
    .addOperation(operation)
    .setTimeout(60)
    .build();
}

async function invoke(name, ...args) {
  const plain = await build(contract.call(name, ...args));
  const prepared = await server.prepareTransaction(plain);
  const found = await settle(prepared);
  return { ledger: found.ledger, value: scValToNative(found.returnValue) };
}

const key = (...parts) => xdr.ScVal.scvVec(parts);
const symbol = (name) => nativeToScVal(name, { type: "symbol" });
const u32 = (number) => nativeToScVal(number, { type: "u32" });
const address = () => nativeToScVal(farmer.publicKey(), { type: "address" });

async function farmState() {
  const entry = await server.getContractData(
    farm,
    xdr.ScVal.scvLedgerKeyContractInstance(),
    rpc.Durability.Persistent,
  );
  const fields = {};
  for (const item of entry.val.contractData().val().instance().storage()) {
    fields[scValToNative(item.key())[0]] = scValToNative(item.val());
  }
  return fields;
}

async function stored(...parts) {
  const entry = await server.getContractData(farm, key(...parts), rpc.Durability.Temporary);
  return scValToNative(entry.val.contractData().val());
}

function findNonce(index, entropy, zeros) {
  const preimage = Buffer.concat([
    Buffer.alloc(12),
    Buffer.from(entropy),
    farmer.rawPublicKey(),
  ]);
  preimage.writeUInt32BE(index, 0);
  for (let nonce = 0n; ; nonce += 1n) {
    preimage.writeBigUInt64BE(nonce, 4);
    const hash = Buffer.from(keccak_256(preimage));
    if (hash.toString("hex").startsWith("0".repeat(zeros))) return { nonce, hash };
  }
}

async function untilClosed() {
  const { FarmBlock } = await farmState();
  const end = Number(FarmBlock.timestamp) + Number(blockSeconds);
  for (;;) {
    const { closeTime } = await server.getLatestLedger();
    if (Number(closeTime) >= end) return;
    await sleep(0.25);
  }
}

const plantNothing = () => invoke("plant", address(), nativeToScVal(0n, { type: "i128" }));

const funded = await fetch(`${friendbotUrl}?addr=${farmer.publicKey()}`);
if (!funded.ok) throw new Error(`friendbot: ${await funded.text()}`);
const [code, issuer] = assetText.split(":");
const asset = new Asset(code, issuer);
await settle(await build(Operation.changeTrust({ asset })));

const planted = await plantNothing();
const index = (await farmState()).FarmIndex ?? 0;
const block = await stored(symbol("Block"), u32(index));
const { nonce, hash } = findNonce(index, block.entropy, 1);
while ((await server.getLatestLedger()).sequence <= planted.ledger) await sleep(0.1);
const worked = await invoke(
  "work",
  address(),
  nativeToScVal(hash, { type: "bytes" }),
  nativeToScVal(nonce, { type: "u64" }),
);
const pail = await stored(symbol("Pail"), address(), u32(index));
await untilClosed();
await plantNothing();
const harvested = await invoke("harvest", address(), u32(index));

const balance = await server.getTrustline(farmer.publicKey(), asset);
console.log(
  JSON.stringify({
    address: farmer.publicKey(),
    index,
    plantedIn: planted.ledger,
    workedIn: worked.ledger,
    gap: worked.value,
    zeros: pail.zeros,
    reward: harvested.value.toString(),
    balance: balance.balance().toString(),
  }),
);
