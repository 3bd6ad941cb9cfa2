// @name@: an application in front of shimmy.
import express from "express";
import OpenAI from "openai";

const model = process.env.MODEL ?? "shimmy-mini";
const client = new OpenAI({
  baseURL: process.env.SHIMMY_URL ?? "http://127.0.0.1:11435/v1",
  apiKey: process.env.SHIMMY_API_KEY ?? "none",
});

const app = express();
app.use(express.json({ limit: "1mb" }));

app.get("/health", (_request, response) => {
  response.json({ status: "ok" });
});

// The whole answer.
app.post("/ask", async (request, response) => {
  const completion = await client.chat.completions.create(question(request.body));
  response.json({ text: completion.choices[0].message.content ?? "" });
});

// The answer as plain text while it comes. A client that leaves ends it.
app.post("/stream", async (request, response) => {
  const chunks = await client.chat.completions.create({ ...question(request.body), stream: true });
  response.on("close", () => chunks.controller.abort());
  response.type("text/plain; charset=utf-8");
  for await (const chunk of chunks) {
    response.write(chunk.choices[0]?.delta?.content ?? "");
  }
  response.end();
});

app.use((error, _request, response, next) => {
  if (response.headersSent) {
    next(error);
  } else if (error instanceof OpenAI.APIConnectionError) {
    response.status(503).json({ error: "shimmy cannot be reached: is `shimmy serve` running?" });
  } else {
    response.status(error.status ?? 500).json({ error: error.message });
  }
});

function question(body) {
  const { text, max_tokens: maxTokens = 256 } = body ?? {};
  if (typeof text !== "string" || text.length === 0) {
    throw Object.assign(new Error("text is required"), { status: 400 });
  }
  return { model, max_tokens: maxTokens, messages: [{ role: "user", content: text }] };
}

const port = Number(process.env.PORT ?? 3000);
app.listen(port, "127.0.0.1", () => console.log(`@name@ listens on http://127.0.0.1:${port}`));
