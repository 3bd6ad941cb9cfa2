// How the pages speak to the server: the key, errors as exceptions, events of a stream.

const KEY = "shimmy.key"; // of sessionStorage: this tab's, until it is closed

export function key() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function useKey(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

// What the server answered instead of what was asked for.
export class Refusal extends Error {
  constructor(status, message, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter; // seconds, or null
  }
}

// The server could not be reached, or was lost on the way.
export class Disconnected extends Error {}

// The response when its status is good. Throws Refusal, Disconnected, or AbortError of the signal.
export async function call(path, { body, headers = {}, ...options } = {}) {
  const own = key();
  const sent = {
    ...headers,
    ...(body === undefined ? {} : { "content-type": "application/json" }),
    ...(own ? { authorization: `Bearer ${own}` } : {}),
  };
  let response;
  try {
    response = await fetch(path, { ...options, headers: sent, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Disconnected("The server cannot be reached. Is it still running?");
  }
  if (response.ok) return response;
  const retryAfter = Number(response.headers.get("retry-after")) || null;
  throw new Refusal(response.status, await reason(response), retryAfter);
}

async function reason(response) {
  const text = await response.text().catch(() => "");
  try {
    const { error } = JSON.parse(text);
    return (typeof error === "string" ? error : error.message) || response.statusText;
  } catch {
    return text.slice(0, 300) || response.statusText;
  }
}

// {name, data} of each server-sent event. Throws as `call` does.
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Disconnected("The connection to the server was lost before the answer was complete.");
    }
    if (part.done) return;
    const blocks = (rest + part.value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { name: "message", data: [] };
      for (const line of block.split("\n")) {
        if (line.startsWith("data: ")) event.data.push(line.slice(6));
        else if (line.startsWith("event: ")) event.name = line.slice(7);
      }
      if (event.data.length) yield { name: event.name, data: event.data.join("\n") };
    }
  }
}

// The chunks of a chat completion. Throws also when it ends without having been completed.
export async function* chunks(body, signal) {
  const response = await call("/v1/chat/completions", { method: "POST", body, signal });
  for await (const { data } of events(response)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Refusal(response.status, chunk.error.message ?? String(chunk.error), null);
    yield chunk;
  }
  throw new Disconnected("The connection to the server was lost before the answer was complete.");
}
