// The numbers of one answer: speed in tokens, the wait before the first, what came from the prefix cache.

import { element } from "./element.js";
import { call } from "./server.js";

const LOOK_MS = 1000;
const GONE_MS = 300; // after which the server knows that an answer was stopped, but for a busy one
const GONE_LOOKS = 10;
const LEAST_MS = 50; // over less time than this a speed says nothing

let newest = null; // the only one that may write

export class Meter {
  constructor(place) {
    newest = this;
    this.place = place;
    this.began = performance.now();
    this.first = null;
    this.timer = setInterval(() => this.look(), LOOK_MS);
    this.show("waiting for the first token");
  }

  // A piece of the answer came; it may be a part of a token, or many.
  piece(id) {
    this.last = performance.now();
    if (this.first !== null) return;
    this.first = this.last;
    this.id = id;
    this.show("answering");
  }

  // Asks the server how many tokens it has made: pieces do not tell.
  async look() {
    if (this.first === null) {
      this.show(`waiting for the first token, ${Math.round((performance.now() - this.began) / 1000)} s`);
      return;
    }
    const own = await this.line("running");
    if (own && this.timer) this.show(speed(own.n_tokens, performance.now() - this.first), counted(own.n_tokens), this.wait());
  }

  async line(state) {
    const lines = await call(`/v1/requests?state=${state}`).then((response) => response.json()).catch(() => null);
    return lines?.data.find(({ id }) => id === this.id);
  }

  wait() {
    return `first after ${told(this.first - this.began)}`;
  }

  // `usage` and `timings` are the server's, absent for an answer that was stopped.
  end(usage, timings) {
    clearInterval(this.timer);
    this.timer = null;
    if (!usage) {
      if (this.first === null) this.show();
      else this.settle();
      return;
    }
    const tokens = usage.completion_tokens;
    const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
    const measured = timings?.predicted_per_second;
    this.show(
      measured ? `${measured.toFixed(1)} tok/s` : this.first !== null && speed(tokens, this.last - this.first),
      counted(tokens),
      this.first !== null && this.wait(),
      `prompt ${usage.prompt_tokens}, ${cached} cached`,
    );
  }

  // An answer that was stopped; where the server cannot tell of it, what was counted last stays.
  async settle() {
    let line;
    for (let look = 0; !line && look < GONE_LOOKS && newest === this; ++look) {
      await new Promise((resolve) => setTimeout(resolve, GONE_MS));
      line = await this.line("cancelled");
    }
    if (line) this.show(speed(line.n_tokens, this.last - this.first), counted(line.n_tokens), this.wait());
  }

  show(...parts) {
    if (newest !== this) return;
    const told = parts.filter(Boolean).map((text) => element("span", { textContent: text }));
    this.place.replaceChildren(...told.flatMap((one, number) => (number ? [" · ", one] : [one])));
  }
}

function counted(tokens) {
  return `${tokens} token${tokens === 1 ? "" : "s"}`;
}

// The first token's time is the wait, not the speed.
function speed(tokens, milliseconds) {
  return tokens > 1 && milliseconds >= LEAST_MS && `${((tokens - 1) / (milliseconds / 1000)).toFixed(1)} tok/s`;
}

function told(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}
