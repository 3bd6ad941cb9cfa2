// The models that can chat: choosing one, loading and unloading it.

import { $, element } from "./element.js";
import { call, events, Refusal } from "./server.js";

const PLACE = "shimmy.model"; // of localStorage
const KINDS = ["chat", "base", "virtual"];
const LOOK_MS = 1000; // while a model is loading

export class ModelPicker {
  // `tell(error)` shows what went wrong; `changed()` follows each change of the choice or of its state.
  constructor(tell, changed) {
    this.tell = tell;
    this.changed = changed;
    this.busy = false;
    this.lines = null; // null: not known yet
    $("model").addEventListener("change", () => {
      keep($("model").value);
      this.show();
    });
    $("load").addEventListener("click", () => this.toggle());
    addEventListener("focus", () => this.refresh().catch(() => {}));
  }

  get name() {
    return $("model").value;
  }

  get state() {
    return this.lines?.find(({ name }) => name === this.name)?.state;
  }

  async refresh() {
    const { models } = await (await call("/api/models")).json();
    this.lines = models.filter(({ model_type: kind }) => KINDS.includes(kind));
    const wanted = [this.name, kept()].find((name) => this.lines.some((line) => line.name === name));
    const first = wanted ?? (this.lines.find(({ state }) => state === "loaded") ?? this.lines[0])?.name;
    const told = JSON.stringify(this.lines.map(({ name, state }) => [name, state]));
    if (told !== this.told) { // an open list would close
      this.told = told;
      $("model").replaceChildren(...groups(this.lines));
      if (first !== undefined) $("model").value = first;
    }
    this.show();
    clearTimeout(this.timer);
    if (this.state === "loading") this.timer = setTimeout(() => this.refresh().catch(() => {}), LOOK_MS);
  }

  show() {
    const none = this.lines?.length === 0;
    const state = none ? "no model" : this.state ?? "";
    if (!this.busy) {
      $("model-state").textContent = state;
      $("model-state").dataset.state = state;
      $("load").textContent = state === "loaded" ? "Unload" : "Load";
      $("load").disabled = none || !state || state === "loading";
    }
    $("model").disabled = none;
    this.changed();
  }

  async toggle() {
    const name = this.name;
    const unloads = this.state === "loaded";
    this.busy = true;
    $("load").disabled = true;
    $("model-state").textContent = unloads ? "unloading" : "loading";
    $("model-state").dataset.state = "loading";
    try {
      if (unloads) await call("/api/models/unload", { method: "POST", body: { model: name } });
      else await load(name);
    } catch (error) {
      this.tell(error);
    }
    this.busy = false;
    await this.refresh().catch(this.tell);
    $("load").focus();
  }
}

// Follows the load to its end.
async function load(name) {
  const response = await call("/api/models/load", { method: "POST", body: { model: name }, headers: { accept: "text/event-stream" } });
  for await (const { name: kind, data } of events(response)) {
    const told = JSON.parse(data);
    if (kind === "error") throw new Refusal(502, told.error, null);
    if (kind === "progress") $("model-state").textContent = `loading ${Math.round(told.progress * 100)} %`;
  }
}

// The loaded ones first.
function groups(lines) {
  const loaded = ({ state }) => state === "loaded";
  return [["Loaded", lines.filter(loaded)], ["Not loaded", lines.filter((line) => !loaded(line))]]
    .filter(([, some]) => some.length)
    .map(([label, some]) => element("optgroup", { label }, ...some.map(option)));
}

function option({ name, parameter_count: size, chooses }) {
  const about = chooses ?? size;
  return element("option", { value: name, textContent: about ? `${name} (${about})` : name });
}

function kept() {
  try {
    return localStorage.getItem(PLACE);
  } catch {
    return null;
  }
}

function keep(name) {
  try {
    localStorage.setItem(PLACE, name);
  } catch {
    // Storage is turned off: it is chosen for as long as the page lives.
  }
}
