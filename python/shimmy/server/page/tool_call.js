// One call of a tool: its name, its arguments as they come, and a place for its result.

import { element } from "./element.js";

const MOST_PRETTY = 100_000; // characters of arguments that are laid out anew when they are complete
const OPEN_ROWS = 2;

export class ToolCall {
  constructor(id = "", name = "") {
    this.id = id;
    this.name = element("b", { textContent: name });
    this.text = "";
    this.node = document.createTextNode("");
    this.pre = element("pre", { className: "arguments" }, this.node);
    this.result = element("textarea", { rows: OPEN_ROWS, spellcheck: false, className: "code", placeholder: "What the tool answers" });
    this.answer = element("label", { className: "result", hidden: true }, "Result", this.result);
    this.box = element("section", { className: "call" }, element("p", {}, element("span", { className: "soft", textContent: "calls " }), this.name), this.pre, this.answer);
    this.box.setAttribute("aria-label", "Tool call");
  }

  take({ id, function: part = {} }) {
    if (id) this.id = id;
    if (part.name) this.name.textContent += part.name;
    if (part.arguments) {
      this.text += part.arguments;
      this.node.appendData(part.arguments);
    }
  }

  // It is complete. Arguments that are no JSON, because the answer was cut, stay as they came.
  end() {
    if (this.text.length > MOST_PRETTY) return;
    try {
      this.node.data = JSON.stringify(JSON.parse(this.text), null, 2);
    } catch {
      this.pre.classList.add("broken");
    }
  }

  // As a message has it.
  called() {
    return { id: this.id, type: "function", function: { name: this.name.textContent, arguments: this.text } };
  }

  ask() {
    this.answer.hidden = false;
  }

  // The message with its result.
  answered() {
    return { role: "tool", tool_call_id: this.id, content: this.result.value };
  }

  // It was told to the model, which cannot be taken back.
  settle(content) {
    this.answer.hidden = false;
    this.result.value = content;
    this.result.readOnly = true;
    this.result.placeholder = "";
  }

  reopen() {
    this.result.readOnly = false;
  }
}
