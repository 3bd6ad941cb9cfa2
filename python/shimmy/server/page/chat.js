// The page's one script: talks to /v1/chat/completions and /api/models, keeps nothing but this conversation.

const $ = (id) => document.getElementById(id);
let conversation = [];
let running = null;

function headers() {
  const key = $("key").value.trim();
  return { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
}

async function call(path, options = {}) {
  const response = await fetch(path, { headers: headers(), ...options });
  if (!response.ok) throw new Error(await reason(response));
  return response;
}

async function reason(response) {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text);
    return typeof error === "string" ? error : error.message;
  } catch {
    return `HTTP ${response.status}: ${text.slice(0, 200)}`;
  }
}

async function listModels() {
  const chosen = $("model").value;
  const { models } = await (await call("/api/models")).json();
  const chat = models.filter(({ model_type }) => ["chat", "base", "virtual"].includes(model_type));
  $("model").replaceChildren(...chat.map(({ name, parameter_count, chooses, state }) => {
    const option = new Option(`${name} (${chooses ?? parameter_count})`, name);
    option.dataset.state = state;
    return option;
  }));
  if (chat.some(({ name }) => name === chosen)) $("model").value = chosen;
  showState();
}

function showState() {
  const state = $("model").selectedOptions[0]?.dataset.state ?? "no model";
  $("model-state").textContent = state;
  $("load").textContent = state === "loaded" ? "Unload" : "Load";
}

async function toggleLoad() {
  const name = $("model").value;
  const what = $("load").textContent === "Unload" ? "unload" : "load";
  $("load").disabled = true;
  $("model-state").textContent = `${what}ing`;
  try {
    await call(`/api/models/${what}`, { method: "POST", body: JSON.stringify({ model: name }) });
  } catch (error) {
    addTurn("error", error.message);
  } finally {
    $("load").disabled = false;
    await listModels().catch(() => {});
  }
}

function addTurn(kind, text = "") {
  const turn = document.createElement("div");
  turn.className = `turn ${kind}`;
  turn.textContent = text;
  $("talk").append(turn);
  turn.scrollIntoView({ block: "end" });
  return turn;
}

function jsonOf(id) {
  const text = $(id).value.trim();
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${$(id).parentElement.firstChild.textContent.trim()}: ${error.message}`);
  }
}

function request() {
  const system = $("system").value.trim();
  const schema = jsonOf("schema");
  return {
    model: $("model").value,
    messages: [...(system ? [{ role: "system", content: system }] : []), ...conversation],
    stream: true,
    stream_options: { include_usage: true },
    temperature: Number($("temperature").value),
    top_p: Number($("top_p").value),
    max_tokens: $("max_tokens").value ? Number($("max_tokens").value) : undefined,
    seed: $("seed").value ? Number($("seed").value) : undefined,
    tools: jsonOf("tools"),
    response_format: schema && { type: "json_schema", json_schema: { name: "answer", schema } },
  };
}

// The JSON of each event; an event with an error ends it.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      if (!part.startsWith("data: ") || part === "data: [DONE]") continue;
      const data = JSON.parse(part.slice(6));
      if (data.error) throw new Error(data.error.message);
      yield data;
    }
  }
}

class Answer {
  constructor() {
    this.turn = addTurn("assistant");
    this.message = { role: "assistant", content: "" };
    this.reasoning = null;
    this.text = document.createElement("span");
    this.turn.append(this.text);
    this.calls = [];
  }

  take(delta) {
    const stays = $("talk").scrollHeight - $("talk").scrollTop - $("talk").clientHeight < 40;
    if (delta.reasoning_content) this.think(delta.reasoning_content);
    if (delta.content) {
      this.message.content += delta.content;
      this.text.append(delta.content);
    }
    for (const part of delta.tool_calls ?? []) this.call(part);
    if (stays) $("talk").scrollTop = $("talk").scrollHeight;
  }

  think(text) {
    if (!this.reasoning) {
      const details = document.createElement("details");
      const summary = document.createElement("summary");
      summary.textContent = "Reasoning";
      this.reasoning = document.createElement("span");
      details.append(summary, this.reasoning);
      this.turn.prepend(details);
    }
    this.reasoning.append(text);
  }

  call(part) {
    const known = this.calls[part.index];
    if (!known) {
      const box = document.createElement("div");
      const name = document.createElement("b");
      name.textContent = part.function.name;
      const args = document.createElement("span");
      box.className = "call";
      box.append(name, " ", args);
      this.turn.append(box);
      this.calls[part.index] = { args, call: { id: part.id, type: "function", function: { name: part.function.name, arguments: "" } } };
    }
    const { args, call } = this.calls[part.index];
    call.function.arguments += part.function.arguments ?? "";
    args.textContent = call.function.arguments;
  }

  finish(conversation) {
    const calls = this.calls.map(({ call }) => call);
    if (calls.length) this.message.tool_calls = calls;
    if (this.message.content || calls.length) conversation.push(this.message);
    else this.turn.remove();
  }
}

function showNumbers(started, first, count, usage) {
  const seconds = (performance.now() - first) / 1000;
  const rate = count > 1 && seconds > 0 ? `${((count - 1) / seconds).toFixed(1)} tok/s` : "";
  const wait = `first token after ${Math.round(first - started)} ms`;
  const cached = usage && `${usage.prompt_tokens} prompt tokens, ${usage.prompt_tokens_details.cached_tokens} from the cache`;
  $("numbers").textContent = [rate, wait, cached].filter(Boolean).join(" · ");
}

async function ask(event) {
  event?.preventDefault();
  const text = $("prompt").value.trim();
  if (!text || running) return;
  let answer = null;
  const own = conversation; // a new chat has another one
  const asked = { role: "user", content: text };
  try {
    own.push(asked);
    const body = JSON.stringify(request());
    addTurn("user", text);
    $("prompt").value = "";
    running = new AbortController();
    $("send").hidden = true;
    $("stop").hidden = false;
    const started = performance.now();
    const response = await call("/v1/chat/completions", { method: "POST", body, signal: running.signal });
    answer = new Answer();
    let first = 0;
    let count = 0;
    for await (const { choices, usage } of events(response)) {
      if (usage) {
        showNumbers(started, first || performance.now(), usage.completion_tokens, usage);
      }
      const delta = choices[0]?.delta;
      if (!delta || !(delta.content || delta.reasoning_content || delta.tool_calls)) continue;
      first ||= performance.now();
      count += 1;
      answer.take(delta);
      showNumbers(started, first, count);
    }
  } catch (error) {
    if (error.name !== "AbortError") {
      addTurn("error", error.message);
    }
  } finally {
    answer?.finish(own);
    if (own.at(-1) === asked) own.pop(); // nothing was answered: it is not part of the talk
    running = null;
    $("send").hidden = false;
    $("stop").hidden = true;
    $("prompt").focus();
    listModels().catch(() => {});
  }
}

function clear() {
  running?.abort();
  conversation = [];
  $("talk").replaceChildren();
  $("numbers").textContent = "";
  $("prompt").focus();
}

for (const range of document.querySelectorAll('input[type="range"]')) {
  const show = () => { document.querySelector(`output[for="${range.id}"]`).value = range.value; };
  range.addEventListener("input", show);
  show();
}
$("ask").addEventListener("submit", ask);
$("stop").addEventListener("click", () => running?.abort());
$("clear").addEventListener("click", clear);
$("load").addEventListener("click", toggleLoad);
$("model").addEventListener("change", showState);
$("key").addEventListener("change", () => listModels().catch((error) => addTurn("error", error.message)));
$("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) ask(event);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
if (matchMedia("(max-width: 48rem)").matches) $("settings").open = false;
listModels().catch((error) => addTurn("error", error.message));
