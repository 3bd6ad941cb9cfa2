// The official ollama package.
import { Ollama } from "ollama";
import {
  all, ASK_WEATHER, crowd, GIVEN, guarded, key, lastRequest, MAX_TOKENS, MODEL, QUESTION, report, SCHEMA, server,
  TOO_LONG, untilRunning, WEATHER, WITHOUT_END,
} from "./report.mjs";

const client = new Ollama({ host: server });
const keyed = (key) => new Ollama({ host: guarded, headers: { Authorization: `Bearer ${key}` } });

const options = { temperature: 0, repeat_penalty: 1.0, ...GIVEN.options };
const plain = { ...GIVEN, messages: QUESTION, options };
const asked = { ...GIVEN, prompt: QUESTION[0].content, options };
const tool = { type: "function", function: { ...WEATHER, parameters: SCHEMA } };
const weather = { ...plain, messages: ASK_WEATHER, tools: [tool] };
const endless = { ...plain, options: { ...options, ...WITHOUT_END, num_predict: MAX_TOKENS }, stream: true };

const calls = (parts) => ({
  finish_reason: parts.at(-1).done_reason,
  calls: parts
    .flatMap(({ message }) => message.tool_calls ?? [])
    .map(({ id, function: use }) => ({ id, name: use.name, arguments: JSON.stringify(use.arguments) })),
});

await report({
  plain: async () => {
    const answer = await client.chat(plain);
    return { text: answer.message.content, reason: answer.done_reason, ...answer };
  },
  stream: async () => {
    const parts = await all(await client.chat({ ...plain, stream: true }));
    return { text: parts.map(({ message }) => message.content).join(""), done: parts.map(({ done }) => done) };
  },
  generate: async () => {
    const first = await client.generate(asked);
    const again = await client.generate({ ...asked, prompt: "Who are you?", context: first.context });
    return { text: first.response, again: again.response, n: first.context.length, grown: again.context.length };
  },
  generateStreamed: async () => {
    const parts = await all(await client.generate({ ...asked, stream: true }));
    return { text: parts.map(({ response }) => response).join(""), done: parts.map(({ done }) => done) };
  },
  raw: async () => {
    const body = { ...asked, prompt: "Once upon a time", raw: true, options: { ...options, num_predict: 8 } };
    const { response, eval_count, done_reason } = await client.generate(body);
    return { response, eval_count, done_reason };
  },
  tools: async () => calls([await client.chat(weather)]),
  toolsStreamed: async () => calls(await all(await client.chat({ ...weather, stream: true }))),
  answered: async () => {
    const { message } = await client.chat(weather);
    const result = { role: "tool", tool_name: "get_weather", content: '{"condition": "sunny", "temperature": 21}' };
    const { message: last } = await client.chat({ ...weather, messages: [...ASK_WEATHER, message, result] });
    return { text: last.content, asked: message.tool_calls.map(({ function: use }) => use.arguments.city) };
  },
  structured: async () => JSON.parse((await client.chat({ ...plain, format: SCHEMA })).message.content),
  structuredStreamed: async () => {
    const parts = await all(await client.generate({ ...asked, format: SCHEMA, stream: true }));
    return JSON.parse(parts.map(({ response }) => response).join(""));
  },
  logprobs: async () => {
    const { logprobs } = await client.chat({ ...plain, logprobs: true, top_logprobs: 2 });
    return { text: logprobs.map(({ token }) => token).join(""), tops: logprobs.map((one) => one.top_logprobs.length) };
  },
  embeddings: async () => {
    const { embeddings } = await client.embed({ model: MODEL, input: ["one text", "another"] });
    const { embedding } = await client.embeddings({ model: MODEL, prompt: "one text" });
    return { vectors: embeddings, floats: embedding };
  },
  models: async () => ({ listed: (await client.list()).models.map(({ name }) => name) }),
  show: async () => {
    const { details, model_info, capabilities, template } = await client.show({ model: MODEL });
    return { details, model_info, capabilities, template };
  },
  ps: async () => (await client.ps()).models,
  version: async () => (await client.version()).version,
  keepAlive: async () => {
    const left = await client.generate({ model: MODEL, prompt: "", keep_alive: 0 });
    const none = (await client.ps()).models;
    const back = await client.generate({ model: MODEL, prompt: "" });
    const one = (await client.ps()).models;
    return { reasons: [left.done_reason, back.done_reason], loaded: [none.length, one.length] };
  },
  badRequest: () => client.chat({ ...plain, options: { temperature: -1 } }),
  unknownModel: () => client.chat({ ...plain, model: "nothing" }),
  unknownModelStreamed: () => client.chat({ ...plain, model: "nothing", stream: true }),
  overflow: () => client.chat({ ...plain, messages: TOO_LONG }),
  overflowStreamed: () => client.chat({ ...plain, messages: TOO_LONG, stream: true }),
  noKey: () => keyed("wrong-key").chat(plain),
  rightKey: async () => (await keyed(key).chat(plain)).message.content,
  crowd: () => crowd(() => keyed(key).chat({ ...plain, options: { ...options, num_predict: 400, ignore_eos: true } })),
  aborted: async () => {
    const own = new Ollama({ host: server });
    const stream = await own.chat(endless);
    const thrown = all(stream).catch((error) => error.name);
    await untilRunning();
    own.abort();
    return { thrown: await thrown, ...(await lastRequest()) };
  },
});
