// The official @anthropic-ai/sdk package.
import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import {
  all, ASK_WEATHER, crowd, GIVEN, guarded, key, lastRequest, MAX_TOKENS, MODEL, QUESTION, report, SCHEMA, server,
  TOO_LONG, tries, untilRunning, WEATHER, WITHOUT_END,
} from "./report.mjs";

const client = new Anthropic({ baseURL: server, apiKey: "none", maxRetries: 0, timeout: 60_000 });
const keyed = (apiKey) => new Anthropic({ baseURL: guarded, apiKey, maxRetries: 0, timeout: 60_000 });

const plain = { messages: QUESTION, max_tokens: 200, temperature: 0, ...GIVEN };
const tool = { ...WEATHER, input_schema: SCHEMA };
const other = { ...tool, name: "get_time" };
const weather = { ...plain, messages: ASK_WEATHER, tools: [tool] };
const City = z.object({ city: z.enum(["Paris", "Rome"]), capital: z.boolean() });

const ask = (fields) => client.messages.create({ ...plain, ...fields });
const one = { disable_parallel_tool_use: true };
const required = { ...weather, tool_choice: { type: "any", ...one } };
const named = { ...weather, tools: [tool, other], tool_choice: { type: "tool", name: "get_time", ...one } };
const endless = { ...plain, ...WITHOUT_END, max_tokens: MAX_TOKENS };

function calls({ stop_reason, content }) {
  const uses = content.filter(({ type }) => type === "tool_use");
  const made = uses.map(({ id, name, input }) => ({ id, name, arguments: JSON.stringify(input) }));
  return { finish_reason: stop_reason, calls: made };
}

/** Calls put together from raw events, as their reader would by hand. */
async function streamedCalls(fields) {
  const blocks = [];
  let finish_reason = null;
  for await (const event of await ask({ ...weather, ...fields, stream: true })) {
    if (event.type === "content_block_start") blocks[event.index] = { ...event.content_block, arguments: "" };
    if (event.type === "content_block_delta") blocks[event.index].arguments += event.delta.partial_json ?? "";
    if (event.type === "message_delta") finish_reason = event.delta.stop_reason;
  }
  return { finish_reason, calls: blocks.filter(({ type }) => type === "tool_use") };
}

await report({
  plain: async () => {
    const { content, stop_reason, usage } = await ask();
    return { text: content[0].text, reason: stop_reason, ...usage };
  },
  requestId: async () => (await ask())._request_id,
  stream: async () => {
    const events = await all(await ask({ stream: true }));
    const text = events.map(({ delta }) => delta?.text ?? "").join("");
    return { text, types: events.map(({ type }) => type), usage: events.at(-2).usage };
  },
  streamHelper: async () => {
    const stream = client.messages.stream(plain);
    const deltas = [];
    stream.on("text", (delta) => deltas.push(delta));
    return { text: await stream.finalText(), joined: deltas.join("") };
  },
  tools: async () => calls(await ask(weather)),
  toolsStreamed: async () => streamedCalls({}),
  toolsStreamHelper: async () => calls(await client.messages.stream(weather).finalMessage()),
  required: async () => calls(await ask(required)),
  requiredStreamed: async () => streamedCalls(required),
  named: async () => calls(await ask(named)),
  namedStreamed: async () => streamedCalls(named),
  noTool: async () => (await ask({ ...weather, tool_choice: { type: "none" } })).content.map(({ type }) => type),
  runTools: async () => {
    const asked = [];
    const run = betaTool({
      ...WEATHER,
      inputSchema: SCHEMA,
      run: ({ city }) => (asked.push(city), '{"condition": "sunny", "temperature": 21}'),
    });
    const last = await client.beta.messages.toolRunner({ ...weather, tools: [run], max_iterations: 4 }).runUntilDone();
    return { text: last.content[0].text, asked };
  },
  runToolsStreamed: async () => {
    const asked = [];
    const run = betaZodTool({
      ...WEATHER,
      inputSchema: z.object({ city: z.string() }),
      run: ({ city }) => (asked.push(city), '{"condition": "sunny", "temperature": 21}'),
    });
    const runner = client.beta.messages.toolRunner({ ...weather, tools: [run], stream: true, max_iterations: 4 });
    let last = null;
    for await (const stream of runner) last = await stream.finalMessage();
    return { text: last.content[0].text, asked };
  },
  structured: async () => {
    const { content } = await ask({ output_config: { format: { type: "json_schema", schema: SCHEMA } } });
    return JSON.parse(content[0].text);
  },
  structuredStreamed: async () => {
    const body = { ...plain, output_config: { format: { type: "json_schema", schema: SCHEMA } } };
    return JSON.parse(await client.messages.stream(body).finalText());
  },
  parsed: async () => {
    const body = { ...plain, output_config: { format: zodOutputFormat(City) } };
    return (await client.messages.parse(body)).parsed_output;
  },
  parsedStreamed: async () => {
    const body = { ...plain, output_config: { format: zodOutputFormat(City) } };
    return (await client.messages.stream(body).finalMessage()).parsed_output;
  },
  stopped: async () => {
    const { content, stop_reason, stop_sequence } = await ask({ stop_sequences: [" France"] });
    return { text: content[0].text, stop_reason, stop_sequence };
  },
  counted: async () => (await client.messages.countTokens({ model: MODEL, messages: QUESTION })).input_tokens,
  beta: async () => (await client.beta.messages.create({ ...plain, betas: ["any-beta-2026-01-01"] })).content[0].text,
  models: async () => ({
    listed: (await all(client.models.list())).map(({ id }) => id),
    retrieved: (await client.models.retrieve(MODEL)).type,
  }),
  badRequest: () => ask({ temperature: -1 }),
  unknownModel: () => ask({ model: "nothing" }),
  unknownModelStreamed: () => client.messages.stream({ ...plain, model: "nothing" }).finalMessage(),
  overflow: () => ask({ messages: TOO_LONG }),
  overflowStreamed: () => client.messages.stream({ ...plain, messages: TOO_LONG }).finalMessage(),
  tries: () =>
    tries((fetch) => {
      const patient = new Anthropic({ baseURL: server, apiKey: "none", maxRetries: 2, fetch });
      return patient.messages.create({ ...plain, messages: TOO_LONG });
    }),
  noKey: () => keyed("wrong-key").messages.create(plain),
  rightKey: async () => (await keyed(key).messages.create(plain)).content[0].text,
  rightToken: async () => {
    const bearer = new Anthropic({ baseURL: guarded, authToken: key, apiKey: null, maxRetries: 0 });
    return (await bearer.messages.create(plain)).content[0].text;
  },
  crowd: () => crowd(() => keyed(key).messages.create({ ...endless, max_tokens: 400 })),
  left: async () => {
    let n = 0;
    for await (const _ of await client.messages.create({ ...endless, stream: true })) if (++n === 5) break;
    return lastRequest();
  },
  aborted: async () => {
    const stream = client.messages.stream(endless);
    const thrown = stream.finalMessage().catch((error) => error.constructor.name);
    await untilRunning();
    stream.abort();
    return { thrown: await thrown, ...(await lastRequest()) };
  },
});
