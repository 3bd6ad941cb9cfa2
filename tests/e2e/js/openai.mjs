// The official openai package: chat completions, embeddings, models, errors.
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import {
  all, ASK_WEATHER, crowd, GIVEN, guarded, key, lastRequest, MAX_TOKENS, MODEL, QUESTION, report, SCHEMA, server,
  TOO_LONG, tries, untilRunning, WEATHER, WITHOUT_END,
} from "./report.mjs";

const client = new OpenAI({ baseURL: `${server}/v1`, apiKey: "none", maxRetries: 0, timeout: 60_000 });
const keyed = (apiKey, maxRetries = 0) => new OpenAI({ baseURL: `${guarded}/v1`, apiKey, maxRetries, timeout: 60_000 });

const tool = { type: "function", function: { ...WEATHER, parameters: SCHEMA } };
const other = { type: "function", function: { ...WEATHER, name: "get_time", parameters: SCHEMA } };
const plain = { messages: QUESTION, temperature: 0, ...GIVEN };
const weather = { ...plain, messages: ASK_WEATHER, tools: [tool], max_tokens: 200 };
const format = { type: "json_schema", json_schema: { name: "answer", schema: SCHEMA, strict: true } };
const City = z.object({ city: z.enum(["Paris", "Rome"]), capital: z.boolean() });

const endless = { ...WITHOUT_END, max_tokens: MAX_TOKENS };

const ask = (fields) => client.chat.completions.create({ ...plain, ...fields });

function calls(completion) {
  const { message, finish_reason } = completion.choices[0];
  return { finish_reason, calls: message.tool_calls.map((call) => ({ id: call.id, ...call.function })) };
}

/** Calls put together from the deltas of a stream, as its reader would by hand. */
async function streamedCalls(fields) {
  const made = [];
  let finish_reason = null;
  for await (const { choices } of await ask({ ...weather, ...fields, stream: true })) {
    for (const { index, id, function: said } of choices[0].delta.tool_calls ?? []) {
      if (id) made[index] = { id, name: said.name, arguments: "" };
      made[index].arguments += said.arguments;
    }
    finish_reason = choices[0].finish_reason ?? finish_reason;
  }
  return { finish_reason, calls: made };
}

const function_ = (name) => ({ type: "function", function: { name } });

await report({
  plain: async () => {
    const { choices, usage } = await ask();
    return { text: choices[0].message.content, reason: choices[0].finish_reason, ...usage };
  },
  requestId: async () => (await ask())._request_id,
  stream: async () => {
    const chunks = await all(await ask({ stream: true, stream_options: { include_usage: true } }));
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
    return { text, n: chunks.length, usage: chunks.at(-1).usage };
  },
  streamHelper: async () => {
    const stream = client.chat.completions.stream(plain);
    const deltas = [];
    stream.on("content", (delta) => deltas.push(delta));
    return { text: await stream.finalContent(), joined: deltas.join("") };
  },
  tools: async () => calls(await ask(weather)),
  toolsStreamed: async () => streamedCalls({}),
  toolsStreamHelper: async () => calls(await client.chat.completions.stream(weather).finalChatCompletion()),
  required: async () => calls(await ask({ ...weather, tool_choice: "required" })),
  requiredStreamed: async () => streamedCalls({ tool_choice: "required" }),
  named: async () => calls(await ask({ ...weather, tools: [tool, other], tool_choice: function_("get_time") })),
  namedStreamed: async () => streamedCalls({ tools: [tool, other], tool_choice: function_("get_time") }),
  allowed: async () => {
    const allowed_tools = { mode: "required", tools: [function_("get_time")] };
    const tool_choice = { type: "allowed_tools", allowed_tools };
    return calls(await ask({ ...weather, tools: [tool, other], tool_choice }));
  },
  noTool: async () => (await ask({ ...weather, tool_choice: "none" })).choices[0].message.tool_calls ?? null,
  runTools: async () => {
    const asked = [];
    const weatherOf = ({ city }) => (asked.push(city), '{"condition": "sunny", "temperature": 21}');
    const run = { ...WEATHER, parameters: SCHEMA, parse: JSON.parse, function: weatherOf };
    const runner = client.chat.completions.runTools({ ...weather, tools: [{ type: "function", function: run }] });
    return { text: await runner.finalContent(), asked };
  },
  runToolsStreamed: async () => {
    const asked = [];
    const run = zodFunction({
      ...WEATHER,
      parameters: z.object({ city: z.string() }),
      function: ({ city }) => (asked.push(city), '{"condition": "sunny", "temperature": 21}'),
    });
    const runner = client.chat.completions.runTools({ ...weather, stream: true, tools: [run] });
    return { text: await runner.finalContent(), asked };
  },
  structured: async () => JSON.parse((await ask({ response_format: format })).choices[0].message.content),
  structuredStreamed: async () => {
    const chunks = await all(await ask({ response_format: format, stream: true }));
    return JSON.parse(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join(""));
  },
  parsed: async () => {
    const body = { ...plain, response_format: zodResponseFormat(City, "city") };
    return (await client.chat.completions.parse(body)).choices[0].message.parsed;
  },
  parsedStreamed: async () => {
    const stream = client.chat.completions.stream({ ...plain, response_format: zodResponseFormat(City, "city") });
    return (await stream.finalChatCompletion()).choices[0].message.parsed;
  },
  logprobs: async () => {
    const stream = await ask({ stream: true, logprobs: true, top_logprobs: 2 });
    const scored = (await all(stream)).flatMap(({ choices }) => choices[0]?.logprobs?.content ?? []);
    return { text: scored.map(({ token }) => token).join(""), tops: scored.map((one) => one.top_logprobs.length) };
  },
  choices: async () => (await ask({ n: 2 })).choices.map(({ message }) => message.content),
  completion: async () => {
    const fields = { model: MODEL, prompt: "The capital of", max_tokens: 4, temperature: 0 };
    const whole = (await client.completions.create(fields)).choices[0].text;
    const parts = await all(await client.completions.create({ ...fields, stream: true }));
    return { whole, streamed: parts.map(({ choices }) => choices[0].text).join("") };
  },
  embeddings: async () => {
    const { data, usage } = await client.embeddings.create({ model: MODEL, input: ["one text", "another"] });
    const fields = { model: MODEL, input: "one text", encoding_format: "float" };
    const floats = (await client.embeddings.create(fields)).data[0].embedding;
    return { vectors: data.map(({ embedding }) => embedding), floats, usage };
  },
  models: async () => ({
    listed: (await all(client.models.list())).map(({ id }) => id),
    retrieved: (await client.models.retrieve(MODEL)).owned_by,
  }),
  badRequest: () => ask({ temperature: -1 }),
  unknownModel: () => ask({ model: "nothing" }),
  unknownModelStreamed: () => ask({ model: "nothing", stream: true }),
  overflow: () => ask({ messages: TOO_LONG }),
  overflowStreamed: () => ask({ messages: TOO_LONG, stream: true }),
  tries: () =>
    tries((fetch) => {
      const patient = new OpenAI({ baseURL: `${server}/v1`, apiKey: "none", maxRetries: 2, fetch });
      return patient.chat.completions.create({ ...plain, temperature: -1 });
    }),
  noKey: () => keyed("wrong-key").chat.completions.create(plain),
  rightKey: async () => (await keyed(key).chat.completions.create(plain)).choices[0].message.content,
  crowd: () => crowd(() => keyed(key).chat.completions.create({ ...plain, max_tokens: 400, ignore_eos: true })),
  crowdRetried: async () => {
    const patient = keyed(key, 60); // the crowds of other clients may be there too
    const { answered, refused } = await crowd(() => patient.chat.completions.create({ ...plain, max_tokens: 4 }));
    return { answered, refused };
  },
  left: async () => {
    const stream = await ask({ ...endless, stream: true });
    let n = 0;
    for await (const _ of stream) if (++n === 5) break;
    return lastRequest();
  },
  aborted: async () => {
    const leaving = new AbortController();
    const answer = client.chat.completions.create({ ...plain, ...endless }, { signal: leaving.signal });
    const thrown = answer.catch((error) => error.constructor.name);
    await untilRunning();
    leaving.abort();
    return { thrown: await thrown, ...(await lastRequest()) };
  },
});
