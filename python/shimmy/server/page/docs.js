// The page about the API: shows /openapi.json, and sends what is asked for. Keeps the API key, in this tab.

import { $, element } from "./element.js";
import { key, useKey } from "./server.js";

const JSON_TYPE = "application/json";
const MOST = 200_000; // characters of an answer that are shown
let api = null;
let operations = [];
let models = [];
let running = null;

function resolved(schema) {
  if (!schema?.$ref) return schema ?? {};
  return schema.$ref.slice(2).split("/").reduce((node, part) => node[part], api);
}

function nameOf(schema) {
  return schema.$ref.split("/").pop();
}

// A type in a few words.
function words(schema) {
  if (schema.$ref) return nameOf(schema);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf) return schema.anyOf.filter(({ type }) => type !== "null").map(words).join(" | ");
  if (schema.contentSchema) return `JSON: ${words(schema.contentSchema)}`;
  if (schema.type === "array") return `list of ${schema.items ? words(schema.items) : "anything"}`;
  if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    return `object of ${words(schema.additionalProperties)}`;
  }
  const bounds = [["minimum", "≥"], ["exclusiveMinimum", ">"], ["maximum", "≤"], ["maxLength", "length ≤"]];
  const tells = ([key]) => key in schema && Math.abs(schema[key]) < 2 ** 31 - 1; // what fits into 32 bits goes without saying
  const limits = bounds.filter(tells).map(([key, sign]) => `${sign} ${schema[key]}`);
  return [schema.type ?? "anything", ...limits].join(" ");
}

// The named types that a type holds.
function parts(schema) {
  if (schema.$ref) return [schema];
  const inner = [...(schema.anyOf ?? []), schema.items, schema.additionalProperties, schema.contentSchema];
  return inner.filter((one) => typeof one === "object").flatMap(parts);
}

// A named type, whose fields are shown when it is opened: types may hold themselves.
function typeOf(reference, open = false) {
  const details = element("details", {}, element("summary", { textContent: nameOf(reference) }));
  const show = () => {
    if (details.childElementCount === 1) details.append(fieldsOf(resolved(reference)));
  };
  details.addEventListener("toggle", show);
  if (open) {
    show();
    details.open = true;
  }
  return details;
}

function fieldsOf({ description, properties = {}, required = [] }) {
  const list = element("dl", { className: "fields" });
  const needed = (name) => required.includes(name);
  const fields = Object.entries(properties).sort(([one], [other]) => needed(other) - needed(one));
  for (const [name, schema] of fields) {
    const must = needed(name) ? " · required" : "";
    const unsaid = schema.default === undefined || schema.default === null ? "" : ` · ${JSON.stringify(schema.default)} when absent`;
    list.append(
      element("dt", {}, element("code", { textContent: name }), element("span", { className: "soft", textContent: ` ${words(schema)}${must}${unsaid}` })),
      element("dd", {}, schema.description ?? "", ...parts(schema).map((one) => typeOf(one))),
    );
  }
  return element("div", {}, ...(description ? [element("p", { textContent: description })] : []), list);
}

function typesOf(schema, open) {
  const found = parts(schema);
  return found.length ? found.map((one) => typeOf(one, open)) : [element("p", { className: "soft", textContent: words(schema) })];
}

function showList() {
  const wanted = $("filter").value.trim().toLowerCase();
  const groups = api.tags.map(({ name, description }) => {
    const found = operations.filter(({ tags, path, summary }) => tags[0] === name && `${path} ${summary}`.toLowerCase().includes(wanted));
    const links = found.map(({ operationId, method, path, summary }) => {
      const link = element("a", { href: `#${operationId}`, title: summary },
        element("span", { className: "method", textContent: method.toUpperCase() }),
        element("span", { className: "path", textContent: path }));
      return element("li", {}, link);
    });
    return links.length ? [element("h2", { textContent: name, title: description }), element("ul", {}, ...links)] : [];
  });
  $("list").replaceChildren(...groups.flat());
  markCurrent();
}

function markCurrent() {
  for (const link of $("list").querySelectorAll("a")) {
    if (link.hash === location.hash) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function showOperation() {
  const one = operations.find(({ operationId }) => `#${operationId}` === location.hash);
  running?.abort();
  markCurrent();
  if (!one) {
    $("operation").replaceChildren(element("h2", { textContent: `${api.info.title} ${api.info.version}` }), element("p", { textContent: api.info.description }));
    return;
  }
  document.title = `shimmy: ${one.method.toUpperCase()} ${one.path}`;
  const scopes = (one.security ?? []).flatMap((way) => Object.values(way)[0]);
  const about = [one.description, scopes.length ? `Needs an API key of scope ${scopes[0]}.` : ""];
  $("operation").replaceChildren(
    element("h2", { textContent: one.summary }),
    element("p", {}, element("span", { className: "path", textContent: `${one.method.toUpperCase()} ${one.path}` })),
    ...about.filter(Boolean).map((text) => element("p", { textContent: text })),
    formOf(one),
    ...takenBy(one),
    ...answersOf(one),
  );
  $("operation").scrollTop = 0;
}

function takenBy({ requestBody }) {
  const content = requestBody?.content[JSON_TYPE];
  return content ? [element("h3", { textContent: "Takes" }), ...typesOf(content.schema, true)] : [];
}

function answersOf({ responses }) {
  return Object.entries(responses).flatMap(([status, reference]) => {
    const { description, content = {} } = resolved(reference);
    const good = status < 400;
    const bodies = Object.entries(content).flatMap(([media, { schema, "x-itemSchema": item }]) => [
      ...(good ? [element("p", { className: "soft", textContent: item ? `${media}, each part` : media })] : []),
      ...typesOf(item?.properties?.data ?? item ?? schema, false),
    ]);
    return [element("h3", { textContent: good ? `Answers ${status}` : `${status} ${description}` }), ...bodies];
  });
}

function exampleOf(content) {
  const example = structuredClone(content.example ?? {});
  const named = (key) => key in example && example[key] === "shimmy-mini" && models.length && !models.includes("shimmy-mini");
  for (const key of ["model", "from", "source"].filter(named)) example[key] = models[0];
  return JSON.stringify(example, null, 2);
}

function formOf(one) {
  const inputs = one.parameters.map((parameter) => {
    const input = element("input", { required: Boolean(parameter.required), autocomplete: "off" });
    const known = parameter.name === "name" && one.path.includes("/models/") ? models[0] : "";
    if (parameter.in === "path") input.value = known ?? "";
    const told = [parameter.in, words(parameter.schema), parameter.description].filter(Boolean).join(" · ");
    return { parameter, input, label: element("label", {}, element("b", { textContent: parameter.name }), element("span", { className: "soft", textContent: ` ${told}` }), input) };
  });
  const [media, content] = Object.entries(one.requestBody?.content ?? {})[0] ?? [];
  const body = media === JSON_TYPE
    ? element("textarea", { rows: 10, spellcheck: false, value: exampleOf(content) })
    : media && element("input", { type: "file" });
  const kinds = Object.keys(resolved(one.responses[200])?.content ?? {});
  const accept = element("select", {}, ...["*/*", ...kinds].map((kind) => new Option(kind === "*/*" ? "anything" : kind, kind)));
  const send = element("button", { type: "submit", textContent: "Send" });
  const stop = element("button", { type: "button", textContent: "Stop", hidden: true });
  const command = element("pre", { hidden: true });
  const state = element("p", { className: "soft", role: "status" });
  const answer = element("pre", { hidden: true, tabIndex: 0 });
  const form = element("form", {},
    ...inputs.map(({ label }) => label),
    ...(body ? [element("label", {}, `Body (${media})`, body)] : []),
    ...(kinds.length > 1 ? [element("label", {}, "Accept ", accept)] : []),
    element("div", { className: "buttons" }, send, stop, element("span", { className: "soft", textContent: "Ctrl+Enter sends, Escape stops" })),
    state, answer, command);
  stop.addEventListener("click", () => running?.abort());
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const request = requestOf(one, inputs, media, body, accept.value);
    command.textContent = curl(request);
    command.hidden = answer.hidden = stop.hidden = false;
    send.disabled = true;
    await ask(request, state, answer);
    stop.hidden = true;
    send.disabled = false;
  });
  return form;
}

function requestOf(one, inputs, media, body, accept) {
  let path = one.path;
  const query = new URLSearchParams();
  const headers = { accept, ...(key() ? { authorization: `Bearer ${key()}` } : {}) };
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value && parameter.in === "query") query.set(parameter.name, input.value);
    else if (input.value) headers[parameter.name] = input.value;
  }
  const payload = media === JSON_TYPE ? body.value.trim() || undefined : body?.files[0];
  if (payload !== undefined) headers["content-type"] = media;
  return { url: `${path}${query.size ? `?${query}` : ""}`, method: one.method.toUpperCase(), headers, body: payload };
}

// What to type into a shell; the key stays out of it.
function curl({ url, method, headers, body }) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const lines = Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${name === "authorization" ? "Bearer KEY" : value}`)}`);
  if (typeof body === "string") lines.push(`-d ${quoted(body)}`);
  else if (body) lines.push(`--data-binary @${quoted(body.name)}`);
  const verb = method === "HEAD" ? "-I" : `-X ${method}`;
  return [`curl ${verb} ${quoted(location.origin + url)}`, ...lines].join(" \\\n  ");
}

async function ask({ url, ...options }, state, answer) {
  running?.abort();
  const own = new AbortController();
  running = own;
  const began = performance.now();
  state.textContent = "waiting";
  answer.textContent = "";
  try {
    const response = await fetch(url, { ...options, signal: own.signal });
    const type = response.headers.get("content-type") ?? "";
    const head = `${response.status} ${response.statusText} · ${type || "no body"} · ${response.headers.get("x-request-id")}`;
    state.textContent = head;
    const text = await shown(response, answer);
    if (type.startsWith(JSON_TYPE) && text.length <= MOST) answer.textContent = pretty(text);
    state.textContent = `${head} · ${Math.round(performance.now() - began)} ms`;
  } catch (error) {
    state.textContent += error.name === "AbortError" ? " · stopped" : ` · ${error.message}`;
  }
  if (running === own) running = null;
}

// The text of an answer, which is shown as it comes.
async function shown(response, answer) {
  if (!response.body) return "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text;
    if (text.length <= MOST) answer.append(text.length + value.length > MOST ? `${value.slice(0, MOST - text.length)} …` : value);
    text += value;
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function listModels() {
  const response = await fetch("/v1/models", { headers: key() ? { authorization: `Bearer ${key()}` } : {} });
  models = response.ok ? (await response.json()).data.map(({ id }) => id) : [];
}

$("filter").addEventListener("input", showList);
$("filter").addEventListener("keydown", (event) => {
  if (event.key === "Enter") $("list").querySelector("a")?.click();
});
$("key").value = key();
$("key").addEventListener("change", () => {
  useKey($("key").value.trim());
  listModels();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
  if (event.key === "/" && !event.target.closest("input, textarea, select")) {
    event.preventDefault();
    $("filter").focus();
  }
});
addEventListener("hashchange", showOperation);

api = await (await fetch("/openapi.json")).json();
operations = Object.entries(api.paths).flatMap(([path, item]) => Object.entries(item).map(([method, one]) => ({ path, method, ...one })));
await listModels().catch(() => {});
showList();
showOperation();
