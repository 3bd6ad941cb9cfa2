// What every matrix shares: where the servers are, what is asked, and how what was seen is told.

const [, , server, guarded, key, fields = "{}", cases = ""] = process.argv;

/** The server without keys; the one with a key and a queue of one; that key. */
export { server, guarded, key };

/** What every request has: the model, and fields of the protocol that the test wants besides. */
export const GIVEN = { model: "shimmy-mini", ...JSON.parse(fields) };
export const MODEL = GIVEN.model;
export const QUESTION = [{ role: "user", content: "What is the capital of France?" }];
export const ASK_WEATHER = [{ role: "user", content: "What is the weather in Paris?" }];
export const TOO_LONG = [{ role: "user", content: "word ".repeat(50_000) }];
export const SCHEMA = {
  type: "object",
  properties: { city: { type: "string", maxLength: 12 } },
  required: ["city"],
  additionalProperties: false,
};
/** Fields of a request that only its cancellation ends, with this limit, whose name each protocol has its own for. */
export const WITHOUT_END = { ignore_eos: true, context_policy: "shift" };
export const MAX_TOKENS = 10_000_000;
export const WEATHER = { name: "get_weather", description: "Get the current weather in a city" };

/** Runs `looks` (of these, the cases asked for), one after the other; prints {name: what it returned, or threw}. */
export async function report(looks) {
  const seen = {};
  const wanted = cases === "" ? Object.keys(looks) : cases.split(",");
  for (const [name, look] of wanted.map((name) => [name, looks[name]])) {
    try {
      seen[name] = await look();
    } catch (error) {
      seen[name] = told(error);
    }
  }
  process.stdout.write(JSON.stringify(seen));
}

export function told(error) {
  const { status, status_code, statusCode, code, param, requestID, message, stack } = error;
  const said = { status: status ?? status_code ?? statusCode, code, param, requestID, message, stack };
  return { error: error.constructor.name, ...said };
}

/** How many of 48 requests at once were answered, and the errors of the others. */
export async function crowd(ask) {
  const settled = await Promise.allSettled(Array.from({ length: 48 }, () => ask()));
  const refused = settled.filter(({ status }) => status === "rejected").map(({ reason }) => told(reason));
  return { answered: settled.length - refused.length, refused };
}

/** How often `ask`, which is given a fetch that counts, asks before it gives up. */
export async function tries(ask) {
  let n = 0;
  const failed = await ask((...given) => (n++, fetch(...given))).then(() => null, told);
  return { n, status: failed?.status };
}

/** The newest request, as the server tells it once nothing runs any more. */
export async function lastRequest() {
  const ended = (requests) => requests.every(({ ended }) => ended !== null);
  return (await requestsOnce(ended, "a request still runs although its client left")).at(-1);
}

/** Resolves when something of an answer has come. */
export async function untilRunning() {
  const running = (requests) => requests.some(({ state, n_tokens }) => state === "running" && n_tokens > 0);
  await requestsOnce(running, "no request runs");
}

/** All requests, once they are so; an error of these words when they never are. */
async function requestsOnce(so, words) {
  for (let tries = 0; tries < 2400; tries++) {
    const { data } = await (await fetch(`${server}/v1/requests`)).json();
    if (so(data)) return data;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(words);
}

/** What an async iterable gives, as a list. */
export async function all(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}
