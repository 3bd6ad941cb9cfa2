// The place where turns stand. It follows what comes at its end, unless the reader has gone elsewhere.

import { $, element } from "./element.js";

const NEAR = 48; // pixels from the end that count as being there

export class Talk {
  constructor() {
    this.view = $("talk");
    this.turns = $("turns");
    this.follows = true;
    this.problem = null;
    this.view.addEventListener("scroll", () => this.look(), { passive: true });
    new ResizeObserver(() => this.drawn()).observe(this.view);
    $("latest").addEventListener("click", () => this.follow());
  }

  look() {
    const left = this.view.scrollHeight - this.view.scrollTop - this.view.clientHeight;
    this.follows = left < NEAR;
    $("latest").hidden = this.follows;
  }

  // What is seen has changed.
  drawn() {
    if (this.follows) this.view.scrollTop = this.view.scrollHeight;
    else $("latest").hidden = false;
  }

  follow() {
    this.follows = true;
    $("latest").hidden = true;
    this.drawn();
  }

  add(...turns) {
    this.turns.append(...turns);
    this.showGreeting();
    this.drawn();
  }

  showGreeting() {
    $("nothing").hidden = this.turns.childElementCount > 0;
  }

  clear() {
    this.turns.replaceChildren();
    this.problem = null;
    this.showGreeting();
    this.follow();
  }

  // Shows what went wrong, in place of what went wrong before.
  tell(message, details = "") {
    this.forgive();
    const text = element("p", { textContent: message });
    this.problem = element("div", { className: "turn problem" }, text, ...(details ? [element("p", { className: "soft", textContent: details })] : []));
    this.problem.setAttribute("role", "alert");
    this.add(this.problem);
    this.follow();
  }

  forgive() {
    this.problem?.remove();
    this.problem = null;
    this.showGreeting();
  }
}

export function question(text) {
  const turn = element("article", { className: "turn user" }, element("p", { textContent: text }));
  turn.setAttribute("aria-label", "You");
  return turn;
}
