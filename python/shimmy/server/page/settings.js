// What of a request the reader chooses. Empty fields are not sent, so the model's own defaults hold.

import { $, element } from "./element.js";

const PLACE = "shimmy.settings"; // of localStorage
const NUMBERS = ["temperature", "top_p", "top_k", "min_p", "repeat_penalty", "seed", "max_tokens"];
const CHOICES = ["reasoning_effort", "context_policy"];
const TEXTS = ["system", "tools", "schema"];
const FIELDS = [...NUMBERS, ...CHOICES, ...TEXTS];

// A field holds what cannot be sent.
export class BadField extends Error {
  constructor(field, message) {
    super(`${nameOf(field)}: ${message}`);
    this.field = field;
    this.reason = message;
  }
}

function nameOf(field) {
  return field.labels[0].firstChild.textContent.trim();
}

export class Settings {
  constructor() {
    this.restore();
    $("fields").addEventListener("input", () => this.save());
    $("fields").addEventListener("reset", () => setTimeout(() => this.save()));
    $("fields").addEventListener("submit", (event) => event.preventDefault());
    for (const name of ["tools", "schema"]) $(name).addEventListener("change", () => this.look($(name)));
  }

  restore() {
    let kept = {};
    try {
      kept = JSON.parse(localStorage.getItem(PLACE) ?? "{}") ?? {};
    } catch {
      // Written by something else, or storage is turned off.
    }
    for (const name of FIELDS) {
      if (typeof kept[name] === "string") $(name).value = kept[name];
    }
  }

  save() {
    try {
      localStorage.setItem(PLACE, JSON.stringify(Object.fromEntries(FIELDS.map((name) => [name, $(name).value]))));
    } catch {
      // Storage is full or turned off: they last as long as the page.
    }
  }

  // Says beside the field what is wrong with it, until it is changed.
  complain({ field, reason }) {
    const told = element("span", { className: "wrong", id: `${field.id}-wrong`, textContent: reason });
    field.after(told);
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", told.id);
    const forgive = () => {
      told.remove();
      field.removeAttribute("aria-invalid");
      field.removeAttribute("aria-describedby");
    };
    field.addEventListener("input", forgive, { once: true });
    $("fields").addEventListener("reset", forgive, { once: true });
  }

  look(field) {
    try {
      parsed(field);
    } catch (error) {
      if (!field.hasAttribute("aria-invalid")) this.complain(error);
    }
  }

  get system() {
    return $("system").value.trim();
  }

  // The fields of a request. Throws BadField.
  fields() {
    const fields = {};
    for (const name of NUMBERS) {
      const { validity, inputMode, validationMessage } = $(name);
      const between = validity.stepMismatch && inputMode === "decimal"; // a step is what an arrow key changes, no more
      if (!validity.valid && !between) throw new BadField($(name), validationMessage);
      if ($(name).value !== "") fields[name] = Number($(name).value);
    }
    for (const name of CHOICES) {
      if ($(name).value) fields[name] = $(name).value;
    }
    const tools = parsed($("tools"));
    const schema = parsed($("schema"));
    if (tools !== undefined) fields.tools = tools;
    if (schema !== undefined) fields.response_format = { type: "json_schema", json_schema: { name: "answer", schema } };
    return fields;
  }
}

function parsed(field) {
  const text = field.value.trim();
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BadField(field, error.message);
  }
}
