// One answer of the model as it comes: reasoning, text and tool calls. Pieces are collected and shown once per frame.

import { element } from "./element.js";
import { copyText, Prose } from "./prose.js";
import { ToolCall } from "./tool_call.js";

const ENDS = { length: "Cut at the limit of tokens.", content_filter: "Cut by a filter." };

export class Answer {
  // `drawn` is called after each change of what is seen.
  constructor(model, { code = false, drawn = () => {} } = {}) {
    this.model = model;
    this.isCode = code;
    this.drawn = drawn;
    this.content = "";
    this.reasoning = "";
    this.pending = { content: "", reasoning: "" };
    this.calls = [];
    this.frame = 0;
    this.text = element("div", { className: "prose" });
    this.prose = new Prose(this.text, { code });
    this.actions = element("p", { className: "actions" }, element("span", { textContent: model }));
    this.turn = element("article", { className: "turn assistant" }, this.text, this.actions);
    this.turn.setAttribute("aria-label", "Answer");
    this.turn.setAttribute("aria-busy", "true");
    this.text.hidden = code;
  }

  // The answer of a message that was kept.
  static of({ content, tool_calls: calls = [], shown = {} }) {
    const made = new Answer(shown.model ?? "", { code: shown.code });
    made.take({ content, reasoning_content: shown.reasoning, tool_calls: calls.map((call, index) => ({ index, ...call })) });
    made.end(shown.finish);
    return made;
  }

  take(delta) {
    if (delta.reasoning_content) this.pending.reasoning += delta.reasoning_content;
    if (delta.content) this.pending.content += delta.content;
    for (const part of delta.tool_calls ?? []) this.takeCall(part);
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  takeCall(part) {
    const index = part.index ?? 0;
    if (!this.calls[index]) {
      this.calls[index] = new ToolCall();
      this.actions.before(this.calls[index].box);
    }
    this.calls[index].take(part);
  }

  draw() {
    this.frame = 0;
    const { content, reasoning } = this.pending;
    this.pending = { content: "", reasoning: "" };
    if (reasoning) {
      this.thought ??= this.openThought();
      this.reasoning += reasoning;
      this.thought.add(reasoning);
    }
    if (content) {
      this.text.hidden = false;
      this.content += content;
      this.prose.add(content);
    }
    this.drawn();
  }

  openThought() {
    const inner = element("div", { className: "prose" });
    this.turn.prepend(element("details", { className: "thought" }, element("summary", { textContent: "Reasoning" }), inner));
    return new Prose(inner);
  }

  // Nothing follows. `finish` is the server's word, or "stopped", or "lost".
  end(finish) {
    cancelAnimationFrame(this.frame);
    this.draw();
    this.prose.end();
    this.thought?.end();
    this.finish = finish;
    for (const call of this.called()) call.end();
    this.turn.removeAttribute("aria-busy");
    const told = { ...ENDS, stopped: "Stopped.", lost: "Broken off." }[finish];
    if (told) this.actions.append(element("span", { className: finish === "lost" ? "lost" : "", textContent: told }));
    if (navigator.clipboard && this.content) {
      const copy = element("button", { type: "button", className: "quiet", textContent: "Copy" });
      copy.addEventListener("click", () => copyText(this.content, copy));
      this.actions.append(copy);
    }
    this.drawn();
  }

  get empty() {
    return !(this.content || this.reasoning || this.called().length);
  }

  called() {
    return this.calls.filter(Boolean);
  }

  // As the conversation keeps it.
  message(finish = this.finish) {
    const calls = this.called().map((call) => call.called());
    return {
      role: "assistant",
      content: this.content,
      ...(calls.length ? { tool_calls: calls } : {}),
      shown: { model: this.model, reasoning: this.reasoning || undefined, finish, code: this.isCode || undefined },
    };
  }
}
