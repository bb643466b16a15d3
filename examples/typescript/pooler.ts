// A whole pooler: plants, mines, works and harvests until so many blocks are paid.
//
// Who calls and where the pool is come from variables: POOLER_ID, BLOCKS, TLS_CERT_FILE, TLS_KEY_FILE,
// TLS_CA_FILE, WALLET_TARGET, PLANT_TARGET, WORK_TARGET, HARVEST_TARGET.
import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setImmediate, setTimeout } from "node:timers/promises";

import { Metadata, connectivityState, credentials, status } from "@grpc/grpc-js";
import type { CallOptions, Client, ClientOptions, ClientUnaryCall, ServiceError } from "@grpc/grpc-js";
import { keccak_256 } from "@noble/hashes/sha3.js";

import { HarvestPendingRequest, HarvestServiceClient, ListHarvestsRequest } from "./gen/kalepool/harvest/v1/harvest.js";
import { PlantRequest, PlantServiceClient, PlantingStatus, type Planting } from "./gen/kalepool/plant/v1/plant.js";
import { WalletServiceClient, type Block, type ChainHead } from "./gen/kalepool/wallet/v1/wallet.js";
import { SubmitWorkRequest, WorkServiceClient } from "./gen/kalepool/work/v1/work.js";

/** Part of a block after which the nonces are submitted: late, but before the next plant. */
const SUBMIT_SHARE = 0.7;
/** Milliseconds that a call may take, its repeats included. */
const LONGEST = 240_000;
/** Hashes between two looks at the clock. */
const TURN = 1000;
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

// Every call is repeated while its service restarts. A request that is repeated
// has the same requestId, so that nothing is done twice.
const SERVICE_CONFIG = JSON.stringify({
  methodConfig: [
    {
      name: [{}],
      waitForReady: true,
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.2s",
        maxBackoff: "5s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
});

const env = (name: string, otherwise = ""): string => process.env[name] || otherwise;

/** End with what is wrong with the variables. */
function fail(text: string): never {
  console.error(text);
  process.exit(1);
}

/** The file that a variable names. */
function file(name: string): Buffer {
  try {
    return readFileSync(env(name));
  } catch (error) {
    return fail(`${name} must name a file: ${(error as Error).message}`);
  }
}

const tls = credentials.createSsl(file("TLS_CA_FILE"), file("TLS_KEY_FILE"), file("TLS_CERT_FILE"));

/** The options of a channel to a service, whose certificate has to have its name. */
const options = (service: string): ClientOptions => ({
  "grpc.ssl_target_name_override": service,
  "grpc.service_config": SERVICE_CONFIG,
});
const wallet = new WalletServiceClient(env("WALLET_TARGET", "127.0.0.1:50052"), tls, options("wallet"));
const plant = new PlantServiceClient(env("PLANT_TARGET", "127.0.0.1:50053"), tls, options("plant"));
const work = new WorkServiceClient(env("WORK_TARGET", "127.0.0.1:50054"), tls, options("work"));
const harvest = new HarvestServiceClient(env("HARVEST_TARGET", "127.0.0.1:50055"), tls, options("harvest"));
const poolerId = env("POOLER_ID");
if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(poolerId))
  fail("POOLER_ID must be the id (UUID) of a pooler");
const blocks = Number(env("BLOCKS", "1"));
if (!Number.isInteger(blocks) || blocks < 1) fail("BLOCKS must be a number from 1");

/** Say that a service does not answer where its variable says: calls wait for it, in silence. */
function tellWhenAway(name: string, client: Client): void {
  const channel = client.getChannel();
  const look = (before: connectivityState): void =>
    channel.watchConnectivityState(before, Infinity, (error) => {
      const state = channel.getConnectivityState(false);
      if (error || state === connectivityState.SHUTDOWN) return;
      if (state === connectivityState.TRANSIENT_FAILURE)
        console.error(`${name} does not answer at ${channel.getTarget()}; trying again`);
      look(state);
    });
  look(channel.getConnectivityState(false));
}
for (const [name, client] of Object.entries({ wallet, plant, work, harvest })) tellWhenAway(name, client);

type Done<Reply> = (error: ServiceError | null, reply: Reply) => void;
type Method<Request, Reply> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  done: Done<Reply>,
) => ClientUnaryCall;

/** Call a unary method. */
function ask<Request, Reply>(client: Client, method: Method<Request, Reply>, request: Request): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const done: Done<Reply> = (error, reply) => (error ? reject(error) : resolve(reply));
    method.call(client, request, new Metadata(), { deadline: Date.now() + LONGEST }, done);
  });
}

const askBlock = (index?: number) => ask(wallet, wallet.getBlock, { index });

/** Wait for a block after `last` that can be planted. No message announces the end of a block's time. */
async function plantable(last: number): Promise<number> {
  for (;;) {
    const { head } = await askBlock();
    if (head && head.plantableBlock > last && !head.paused) return head.plantableBlock;
    await setTimeout(1000);
  }
}

/** A block, as soon as wallet has seen it. */
async function opened(index: number): Promise<{ block: Block; head: ChainHead }> {
  for (;;) {
    try {
      const { block, head } = await askBlock(index);
      if (block && head) return { block, head };
    } catch (error) {
      if ((error as ServiceError).code !== status.NOT_FOUND) throw error;
    }
    await setTimeout(1000);
  }
}

/** The milliseconds for mining. Blocks go by the ledgers' clock. */
function budget(block: Block, head: ChainHead): number {
  const [from, to, now] = [block.openedAt, block.closesAt, head.closeTime].map((at) => at?.getTime() ?? 0);
  return Math.max(0, from! + SUBMIT_SHARE * (to! - from!) - now!);
}

/** The 32 bytes in an address (G...): version, key and checksum are in base32. */
function rawKey(address: string): Buffer {
  const bits = [...address].map((letter) => BASE32.indexOf(letter).toString(2).padStart(5, "0")).join("");
  const bytes = bits.match(/.{8}/g)?.map((byte) => parseInt(byte, 2)) ?? [];
  return Buffer.from(bytes.slice(1, 33));
}

/** The nonce with the smallest hash, which has the most zeros, of those tried until a moment. */
async function mine(block: Block, key: Buffer, until: number): Promise<bigint> {
  // What is hashed: index (4 bytes), nonce (8), entropy (32), farmer's key (32).
  const text = Buffer.concat([Buffer.alloc(12), block.entropy, key]);
  text.writeUInt32BE(block.index, 0);
  const first = randomBytes(8).readBigUInt64BE();
  let best = { nonce: first, hash: Buffer.alloc(32, 0xff) };
  for (let tries = 0n; tries === 0n || Date.now() < until; await setImmediate()) {
    for (let turn = 0; turn < TURN; turn++, tries++) {
      const nonce = BigInt.asUintN(64, first + tries);
      text.writeBigUInt64BE(nonce, 4);
      const hash = Buffer.from(keccak_256(text));
      if (hash.compare(best.hash) < 0) best = { nonce, hash };
    }
  }
  return best.nonce;
}

/** Search a nonce for every farmer who is planted; they share the time evenly. */
async function mineAll(block: Block, plantings: Planting[], milliseconds: number) {
  const planted = plantings.filter((one) => one.status === PlantingStatus.PLANTING_STATUS_SUCCESS);
  const found = [];
  for (const { farmerId, custodialWallet } of planted) {
    const until = Date.now() + milliseconds / planted.length;
    found.push({ farmerId, nonce: await mine(block, rawKey(custodialWallet), until), timestamp: 0n });
  }
  return found;
}

/** What a block has paid by the pool's records: the pool harvests by itself, too, and may have been faster. */
async function rewardsOf(blockIndex: number): Promise<bigint> {
  let [sum, pageToken] = [0n, ""];
  do {
    const request = ListHarvestsRequest.fromPartial({ poolerId, blockIndex, pageSize: 1000, pageToken });
    const page = await ask(harvest, harvest.listHarvests, request);
    for (const one of page.harvests) sum += one.rewardAmount;
    pageToken = page.nextPageToken;
  } while (pageToken);
  return sum;
}

/** Farm the block after `last`, which is paid meanwhile. Return its index. */
async function farmNext(last: number): Promise<number> {
  const blockIndex = await plantable(last);
  // Fields that are left out have their defaults, also those that a later version of the pool adds.
  const request = PlantRequest.fromPartial({ poolerId, blockIndex, requestId: randomUUID() });
  const planted = await ask(plant, plant.plant, request);
  const { block, head } = await opened(blockIndex);
  await ask(harvest, harvest.harvestPending, HarvestPendingRequest.fromPartial({ poolerId }));
  const submissions = await mineAll(block, planted.plantings, budget(block, head));
  const submitted = SubmitWorkRequest.fromPartial({ poolerId, blockIndex, submissions, requestId: randomUUID() });
  // Nobody may be planted: a block can be over before the plants are.
  const worked = submissions.length ? await ask(work, work.submitWork, submitted) : undefined;
  console.log(
    JSON.stringify({
      block: blockIndex,
      planted: planted.successfulPlants,
      worked: worked?.submittedWork ?? 0,
      rewards: last < 0 ? 0 : Number(await rewardsOf(last)),
    }),
  );
  return blockIndex;
}

// One block more than is asked for: a block is paid when the next one is open.
try {
  for (let last = -1, left = blocks + 1; left > 0; left--) last = await farmNext(last);
} catch (error) {
  fail((error as Error).message);
}
for (const client of [wallet, plant, work, harvest]) client.close();
