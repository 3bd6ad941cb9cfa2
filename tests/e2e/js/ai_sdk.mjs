// Vercel's AI SDK, by its packages for OpenAI (Responses, which is its default, and chat) and Anthropic.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { embedMany, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";
import {
  all, ASK_WEATHER, guarded, key, lastRequest, MAX_TOKENS, MODEL, QUESTION, report, server, TOO_LONG, WEATHER,
  WITHOUT_END,
} from "./report.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const openai = (url, apiKey, fetch) => createOpenAI({ baseURL: `${url}/v1`, apiKey, fetch });
const makers = {
  responses: (url, apiKey, fetch) => (name) => openai(url, apiKey, fetch)(name),
  chat: (url, apiKey, fetch) => (name) => openai(url, apiKey, fetch).chat(name),
  anthropic: (url, apiKey, fetch) => (name) => createAnthropic({ baseURL: `${url}/v1`, apiKey, fetch })(name),
};

/** Asks for an answer that does not end by itself. */
function fetchEndless(url, options) {
  return fetch(url, { ...options, body: JSON.stringify({ ...JSON.parse(options.body), ...WITHOUT_END }) });
}

const City = z.object({ city: z.enum(["Paris", "Rome"]), capital: z.boolean() });
const inputSchema = z.object({ city: z.string() });

/** A tool that says what it was asked. */
function weatherTool(asked) {
  const execute = async ({ city }) => (asked.push(city), { condition: "sunny", temperature: 21 });
  return tool({ description: WEATHER.description, inputSchema, execute });
}

function calls(toolCalls) {
  return toolCalls.map(({ toolName, input }) => ({ name: toolName, arguments: JSON.stringify(input) }));
}

function cases(make) {
  const model = make(server, "none")(MODEL);
  const plain = { model, messages: QUESTION, temperature: 0, maxRetries: 0, maxOutputTokens: 200 };
  const silent = { onError: () => {} };
  const both = {
    get_weather: tool({ description: WEATHER.description, inputSchema }),
    get_time: tool({ description: "Get the time in a city", inputSchema }),
  };
  const weather = { ...plain, messages: ASK_WEATHER, tools: both };
  return {
    plain: async () => {
      const { text, finishReason, usage } = await generateText(plain);
      return { text, reason: finishReason, n_in: usage.inputTokens, n_out: usage.outputTokens };
    },
    stream: async () => {
      const { textStream, finishReason, usage } = streamText(plain);
      const text = (await all(textStream)).join("");
      return { text, reason: await finishReason, n_in: (await usage).inputTokens, n_out: (await usage).outputTokens };
    },
    again: async () => {
      const { response } = await generateText(plain);
      const messages = [...QUESTION, ...response.messages, { role: "user", content: "Who are you?" }];
      const include = { requestBody: true };
      const { text, request } = await generateText({ ...plain, messages, include });
      return { text, body: typeof request.body === "string" ? JSON.parse(request.body) : request.body };
    },
    runTools: async () => {
      const asked = [];
      const tools = { get_weather: weatherTool(asked) };
      const { text } = await generateText({ ...weather, tools, stopWhen: stepCountIs(4) });
      return { text, asked };
    },
    runToolsStreamed: async () => {
      const asked = [];
      const tools = { get_weather: weatherTool(asked) };
      const { textStream } = streamText({ ...weather, tools, stopWhen: stepCountIs(4) });
      return { text: (await all(textStream)).join(""), asked };
    },
    required: async () => calls((await generateText({ ...weather, toolChoice: "required" })).toolCalls),
    requiredStreamed: async () => {
      const answer = streamText({ ...weather, toolChoice: "required" });
      await answer.consumeStream();
      return calls(await answer.toolCalls);
    },
    named: async () => {
      const toolChoice = { type: "tool", toolName: "get_time" };
      return calls((await generateText({ ...weather, toolChoice })).toolCalls);
    },
    parsed: async () => (await generateObject({ ...plain, schema: City })).object,
    parsedStreamed: async () => {
      const { partialObjectStream, object } = streamObject({ ...plain, schema: City });
      await all(partialObjectStream);
      return object;
    },
    unknownModel: () => generateText({ ...plain, model: make(server, "none")("nothing") }),
    overflow: () => generateText({ ...plain, messages: TOO_LONG }),
    badRequest: () => generateText({ ...plain, topP: -1 }),
    noKey: () => generateText({ ...plain, model: make(guarded, "wrong-key")(MODEL) }),
    rightKey: async () => (await generateText({ ...plain, model: make(guarded, key)(MODEL) })).text,
    aborted: async () => {
      const leaving = new AbortController();
      const story = [{ role: "user", content: "Tell me a story about a fox." }];
      const endless = { model: make(server, "none", fetchEndless)(MODEL), maxOutputTokens: MAX_TOKENS };
      const fields = { ...plain, ...silent, ...endless, messages: story, abortSignal: leaving.signal };
      let n = 0;
      for await (const _ of streamText(fields).textStream) if (++n === 2) leaving.abort();
      return lastRequest();
    },
  };
}

const seen = {};
for (const [name, make] of Object.entries(makers)) {
  for (const [title, look] of Object.entries(cases(make))) seen[`${name}.${title}`] = look;
}
seen["chat.embeddings"] = async () => {
  const model = openai(server, "none").embedding(MODEL);
  const { embeddings } = await embedMany({ model, values: ["one text", "another"], maxRetries: 0 });
  return embeddings.map(({ length }) => length);
};
seen["responses.mixedTools"] = async () => {
  const provider = openai(server, "none");
  const written = [];
  const execute = async (text) => (written.push(text), "Written.");
  const tools = {
    web_search: provider.tools.webSearch({}),
    get_weather: tool({ description: WEATHER.description, inputSchema }),
    write_note: provider.tools.customTool({ description: "Write a note", execute }),
  };
  const { steps } = await generateText({
    model: provider(MODEL),
    messages: [{ role: "user", content: "Write a note that says hello." }],
    tools,
    toolChoice: { type: "tool", toolName: "write_note" },
    stopWhen: stepCountIs(2),
    temperature: 0,
    maxRetries: 0,
    maxOutputTokens: 200,
    include: { requestBody: true },
  });
  const [first, second] = steps.map(({ request: { body } }) => (typeof body === "string" ? JSON.parse(body) : body));
  return { written, tools: first.tools.map(({ type }) => type), items: second.input.map(({ type }) => type) };
};

await report(seen);
