// The page to chat on: asks, shows what comes, keeps the conversation.

import { Answer } from "./answer.js";
import { Conversation } from "./conversation.js";
import { $, element } from "./element.js";
import { Meter } from "./meter.js";
import { ModelPicker } from "./models.js";
import { Disconnected, chunks, key, useKey } from "./server.js";
import { BadField, Settings } from "./settings.js";
import { question, Talk } from "./talk.js";

const MOST_SAID = 2000; // characters of an answer that a screen reader is told
const LOADING_MS = 1000;
const NARROW = matchMedia("(max-width: 56rem)");
const TOUCH = matchMedia("(pointer: coarse)");

const talk = new Talk();
const settings = new Settings();
const models = new ModelPicker(tell, greet);
let conversation = new Conversation();
let last = null; // the newest answer
let coming = null; // the answer that is under way
let running = null; // its AbortController
let leaving = false; // the page is being left: what is cut off by that is none of the reader's doing

function tell(error) {
  if (error.status === 401) return askForKey(key() ? `${error.message}.` : "This server asks for an API key.");
  const when = error.retryAfter ? `Try again in ${error.retryAfter} s.` : "";
  talk.tell(error.message, [error.status ? `HTTP ${error.status}.` : "", when].join(" ").trim());
  if (error instanceof BadField) {
    openSettings(true);
    if (!error.field.hasAttribute("aria-invalid")) settings.complain(error);
    error.field.focus();
  }
}

function greet() {
  const none = models.lines?.length === 0;
  $("greeting").textContent = models.name ? `Ask ${models.name} something.` : none ? "There is no model yet." : "Ask something.";
  if (none) $("hint").textContent = "Put a GGUF file into a folder that shimmy searches, or fetch one with shimmy pull, and reload this page.";
}

// --- asking -----------------------------------------------------------------------------------------------------------

async function send() {
  if (!models.lines) await models.refresh().catch(() => {}); // the page has just been opened; its own try tells of errors
  const text = $("prompt").value.trim();
  if (running) return;
  const open = last?.called().filter(({ result }) => !result.readOnly) ?? [];
  if (!text && !open.some(({ result }) => result.value)) return;
  const results = open.map((one) => one.answered());
  ask([...results, ...(text ? [{ role: "user", content: text }] : [])], { open });
}

// Adds `asked` to the conversation, or takes the last answer out (`again`), and lets the model answer. Where no answer
// began, everything is as it was before.
async function ask(asked, { open = [], again = false } = {}) {
  talk.forgive();
  if (!models.name) return tell(new Error("There is no model to ask."));
  let body;
  const own = conversation; // a new chat has another one
  const text = asked.find(({ role }) => role === "user")?.content;
  try {
    const system = settings.system ? [{ role: "system", content: settings.system }] : [];
    const messages = [...system, ...own.sent().slice(0, again ? -1 : undefined), ...asked];
    body = { model: models.name, messages, stream: true, stream_options: { include_usage: true }, ...settings.fields() };
  } catch (error) {
    return tell(error);
  }
  const turn = text && question(text);
  const before = last;
  const kept = again ? [own.messages.pop()] : [];
  if (again) before.turn.remove();
  before?.actions.querySelector(".again")?.remove();
  own.messages.push(...asked);
  if (asked.length) own.save();
  open.forEach((one) => one.settle(one.result.value));
  if (turn) {
    talk.add(turn);
    $("prompt").value = "";
  }
  talk.follow();
  const answer = await listen(body);
  if (own !== conversation || leaving) return;
  if (answer.empty) {
    own.messages.splice(own.messages.length - asked.length, asked.length, ...kept);
    if (again) talk.add(before.turn);
    open.forEach((one) => one.reopen());
    turn?.remove();
    if (text) $("prompt").value = [text, $("prompt").value].filter(Boolean).join("\n");
  } else {
    own.messages.push(answer.message());
    last = answer;
    $("said").textContent = answer.content.slice(0, MOST_SAID);
  }
  own.save();
  offerActions();
  if (answer.error) tell(answer.error);
  talk.showGreeting();
}

// One request, shown as it comes, to its end, whatever that is.
async function listen(body) {
  const stop = new AbortController();
  const own = conversation;
  const answer = new Answer(body.model, { code: Boolean(body.response_format), drawn: () => talk.drawn() });
  const meter = new Meter($("numbers"));
  const loading = setInterval(() => models.refresh().catch(() => {}), LOADING_MS);
  const begun = () => {
    if (answer.turn.isConnected || own !== conversation) return;
    clearInterval(loading);
    talk.add(answer.turn);
  };
  running = stop;
  coming = answer;
  showRunning(true);
  let usage;
  let timings;
  let finish = "lost";
  try {
    for await (const chunk of chunks(body, stop.signal)) {
      usage = chunk.usage ?? usage;
      timings = chunk.timings ?? timings;
      const [choice] = chunk.choices;
      finish = choice?.finish_reason ?? finish;
      const { content, reasoning_content: reasoning, tool_calls: calls } = choice?.delta ?? {};
      if (!content && !reasoning && !calls) continue;
      meter.piece(chunk.id);
      answer.take(choice.delta);
      begun();
    }
  } catch (error) {
    if (error.name === "AbortError") finish = "stopped";
    else answer.error = error;
  }
  clearInterval(loading);
  answer.end(finish);
  if (answer.empty && !answer.error && finish !== "stopped") answer.error = new Error("The model ended its answer without a word.");
  meter.end(usage, timings);
  if (running === stop) {
    running = null;
    coming = null;
    showRunning(false);
  }
  models.refresh().catch(() => {});
  return answer;
}

function showRunning(runs) {
  const focused = document.activeElement === $(runs ? "send" : "stop");
  $("send").hidden = runs;
  $("stop").hidden = !runs;
  if (focused) $(runs ? "stop" : "prompt").focus();
}

// The last answer can be made again, and its calls can be answered.
function offerActions() {
  if (!last) return;
  const again = element("button", { type: "button", className: "quiet again", textContent: "Again" });
  again.addEventListener("click", () => {
    if (!running) ask([], { again: true });
  });
  last.actions.append(again);
  last.called().forEach((one) => one.ask());
  talk.drawn();
}

function newChat() {
  running?.abort();
  conversation = new Conversation();
  conversation.save();
  last = null;
  talk.clear();
  $("numbers").textContent = "";
  $("said").textContent = "";
  $("prompt").focus();
}

// Shows what an earlier visit left. What was asked and got no answer is not asked yet.
function restore() {
  conversation = Conversation.kept();
  const turns = [];
  const asked = conversation.takeUnanswered();
  for (const message of conversation.messages) {
    if (message.role === "user") turns.push(question(message.content));
    if (message.role === "assistant") {
      last = Answer.of(message);
      turns.push(last.turn);
    }
    if (message.role === "tool") callOf(message)?.settle(message.content);
  }
  talk.add(...turns);
  for (const message of asked) {
    if (message.role === "user") $("prompt").value = message.content;
    else if (message.role === "tool" && callOf(message)) callOf(message).result.value = message.content;
  }
  offerActions();
}

function callOf({ tool_call_id: wanted }) {
  return last?.called().find(({ id }) => id === wanted);
}

// --- settings and the key ---------------------------------------------------------------------------------------------

function openSettings(opens) {
  document.body.classList.toggle("with-settings", opens);
  $("open-settings").setAttribute("aria-expanded", String(opens));
  const covers = opens && NARROW.matches;
  $("head").inert = covers;
  $("main").inert = covers;
  if (covers) $("close-settings").focus();
}

function closeSettings() {
  openSettings(false);
  $("open-settings").focus();
}

function askForKey(reason) {
  $("key-reason").textContent = `${reason} It is kept in this tab until you close it.`;
  $("key").value = key();
  if (!$("key-dialog").open) $("key-dialog").showModal();
}

$("key-dialog").addEventListener("close", () => {
  if ($("key-dialog").returnValue === "use") {
    useKey($("key").value.trim());
    models.refresh().catch(tell);
  }
  $("key-dialog").returnValue = "";
  $("prompt").focus();
});

// --- keys and buttons -------------------------------------------------------------------------------------------------

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
$("send").disabled = false; // before, a browser would have sent the form itself
if (!CSS.supports("field-sizing", "content")) { // the field grows with its text all the same
  $("prompt").addEventListener("input", () => { $("prompt").rows = Math.min($("prompt").value.split("\n").length, 8); });
}
$("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || TOUCH.matches) return;
  event.preventDefault();
  send();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || $("key-dialog").open) return;
  if (running) running.abort();
  else if (NARROW.matches && document.body.classList.contains("with-settings")) closeSettings();
});
$("stop").addEventListener("click", () => running?.abort());
$("clear").addEventListener("click", newChat);
$("open-settings").addEventListener("click", () => openSettings(!document.body.classList.contains("with-settings")));
$("close-settings").addEventListener("click", closeSettings);
$("key-cancel").addEventListener("click", () => $("key-dialog").close());
$("open-key").addEventListener("click", () => askForKey("For servers that ask for one."));
addEventListener("pageshow", () => { leaving = false; });
addEventListener("pagehide", () => {
  leaving = true;
  coming?.draw();
  if (coming && !coming.empty) conversation.save([coming.message("lost")]);
});
NARROW.addEventListener("change", () => openSettings(!NARROW.matches));

openSettings(!NARROW.matches);
restore();
if (!TOUCH.matches) $("prompt").focus();
models.refresh().catch(tell);
