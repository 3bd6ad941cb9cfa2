// The official openai package: Responses.
import OpenAI from "openai";
import { ResponsesToolRunner, runnerFunction } from "openai/helpers/responses-tool-runner";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import {
  all, ASK_WEATHER, crowd, GIVEN, guarded, key, lastRequest, MAX_TOKENS, MODEL, QUESTION, report, SCHEMA, server,
  TOO_LONG, tries, untilRunning, WEATHER, WITHOUT_END,
} from "./report.mjs";

const client = new OpenAI({ baseURL: `${server}/v1`, apiKey: "none", maxRetries: 0, timeout: 60_000 });
const keyed = (apiKey) => new OpenAI({ baseURL: `${guarded}/v1`, apiKey, maxRetries: 0, timeout: 60_000 });

const plain = { input: QUESTION[0].content, temperature: 0, ...GIVEN };
const tool = { type: "function", ...WEATHER, parameters: SCHEMA, strict: true };
const other = { ...tool, name: "get_time" };
const weather = { ...plain, input: ASK_WEATHER, tools: [tool], max_output_tokens: 200 };
const named = { ...weather, tools: [tool, other], tool_choice: { type: "function", name: "get_time" } };
const format = { type: "json_schema", name: "answer", schema: SCHEMA, strict: true };
const City = z.object({ city: z.enum(["Paris", "Rome"]), capital: z.boolean() });

const endless = { ...WITHOUT_END, max_output_tokens: MAX_TOKENS };

const ask = (fields) => client.responses.create({ ...plain, ...fields });
const stream = (fields) => client.responses.stream({ ...plain, ...fields });
const calls = ({ status, output }) => ({
  finish_reason: status,
  calls: output.filter(({ type }) => type === "function_call"),
});

await report({
  plain: async () => {
    const { output_text, status, usage } = await ask();
    return { text: output_text, reason: status, ...usage };
  },
  stream: async () => {
    const events = await all(await ask({ stream: true }));
    const deltas = events.filter(({ type }) => type === "response.output_text.delta");
    const numbers = events.map(({ sequence_number }) => sequence_number);
    return { text: deltas.map(({ delta }) => delta).join(""), types: events.map(({ type }) => type), numbers };
  },
  streamHelper: async () => {
    const answer = stream();
    const deltas = [];
    answer.on("response.output_text.delta", ({ delta }) => deltas.push(delta));
    const { output_text, status } = await answer.finalResponse();
    return { text: output_text, joined: deltas.join(""), status };
  },
  tools: async () => calls(await ask(weather)),
  toolsStreamed: async () => calls(await stream(weather).finalResponse()),
  required: async () => calls(await ask({ ...weather, tool_choice: "required" })),
  requiredStreamed: async () => calls(await stream({ ...weather, tool_choice: "required" }).finalResponse()),
  named: async () => calls(await ask(named)),
  namedStreamed: async () => calls(await stream(named).finalResponse()),
  answered: async () => {
    const first = await ask({ ...weather, tool_choice: "required" });
    const { call_id } = first.output.find(({ type }) => type === "function_call");
    const output = { type: "function_call_output", call_id, output: '{"condition": "sunny", "temperature": 21}' };
    const second = await ask({ ...weather, input: [output], previous_response_id: first.id });
    return { text: second.output_text, previous: second.previous_response_id === first.id };
  },
  runTools: async () => {
    const asked = [];
    const run = zodResponsesFunction({
      ...WEATHER,
      parameters: z.object({ city: z.string() }),
      function: ({ city }) => (asked.push(city), '{"condition": "sunny", "temperature": 21}'),
    });
    const runner = new ResponsesToolRunner({ functions: [runnerFunction(run)] });
    const params = { ...plain, input: ASK_WEATHER[0].content };
    const result = await runner.run(client, params);
    return { text: result.output_text ?? result, asked };
  },
  structured: async () => JSON.parse((await ask({ text: { format } })).output_text),
  structuredStreamed: async () => {
    const { output_text } = await stream({ text: { format } }).finalResponse();
    return JSON.parse(output_text);
  },
  parsed: async () => {
    const body = { ...plain, text: { format: zodTextFormat(City, "city") } };
    return (await client.responses.parse(body)).output_parsed;
  },
  parsedStreamed: async () => {
    const answer = stream({ text: { format: zodTextFormat(City, "city") } });
    return (await answer.finalResponse()).output_parsed;
  },
  conversation: async () => {
    const first = await ask();
    const second = await ask({ input: "Who are you?", previous_response_id: first.id });
    const kept = await client.responses.retrieve(second.id);
    const items = await all(client.responses.inputItems.list(second.id));
    await client.responses.delete(second.id);
    const gone = await client.responses.retrieve(second.id).catch(({ status }) => status);
    return { text: second.output_text, kept: kept.output_text, items: items.map(({ type }) => type), gone };
  },
  counted: async () => (await client.responses.inputTokens.count({ model: MODEL, input: plain.input })).input_tokens,
  background: async () => {
    let response = await ask({ background: true });
    const states = [response.status];
    while (["queued", "in_progress"].includes(response.status)) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      response = await client.responses.retrieve(response.id);
    }
    const { id } = await ask({ ...endless, background: true });
    const cancelled = await client.responses.cancel(id);
    return { text: response.output_text, begun: states[0], cancelled: cancelled.status };
  },
  badRequest: () => ask({ temperature: -1 }),
  unknownModel: () => ask({ model: "nothing" }),
  unknownModelStreamed: () => stream({ model: "nothing" }).finalResponse(),
  overflow: () => ask({ input: TOO_LONG }),
  overflowStreamed: () => stream({ input: TOO_LONG }).finalResponse(),
  tries: () =>
    tries((fetch) => {
      const patient = new OpenAI({ baseURL: `${server}/v1`, apiKey: "none", maxRetries: 2, fetch });
      return patient.responses.create({ ...plain, input: TOO_LONG });
    }),
  noKey: () => keyed("wrong-key").responses.create(plain),
  rightKey: async () => (await keyed(key).responses.create(plain)).output_text,
  crowd: () => crowd(() => keyed(key).responses.create({ ...plain, max_output_tokens: 400, ignore_eos: true })),
  left: async () => {
    let n = 0;
    for await (const _ of await ask({ ...endless, stream: true })) if (++n === 8) break;
    return lastRequest();
  },
  aborted: async () => {
    const answer = stream(endless);
    const thrown = answer.finalResponse().catch((error) => error.constructor.name);
    await untilRunning();
    answer.abort();
    return { thrown: await thrown, ...(await lastRequest()) };
  },
});
