// The messages of the conversation, as the API takes them. The browser keeps them over a reload.

const PLACE = "shimmy.conversation"; // of localStorage
const MOST_KEPT = 1_000_000; // characters of JSON; browsers allow some five million

export class Conversation {
  messages = [];

  // What an earlier visit left; an empty one when it left nothing that can be understood.
  static kept() {
    const made = new Conversation();
    try {
      const messages = JSON.parse(localStorage.getItem(PLACE) ?? "[]");
      if (Array.isArray(messages) && messages.every(isMessage)) made.messages = messages;
    } catch {
      // Written by something else, or storage is turned off.
    }
    return made;
  }

  // What the model is sent: `shown` is of the page alone.
  sent() {
    return this.messages.map(({ shown, ...message }) => message);
  }

  // Takes out what stands behind the last answer.
  takeUnanswered() {
    return this.messages.splice(this.messages.findLastIndex(({ role }) => role === "assistant") + 1);
  }

  // Keeps the newest messages that fit. Where storage is full or turned off, the conversation lives as long as the page.
  // `coming`: messages that are not complete yet.
  save(coming = []) {
    const messages = [...this.messages, ...coming];
    let left = MOST_KEPT;
    let first = messages.length;
    const texts = [];
    while (first > 0) {
      const text = JSON.stringify(messages[first - 1]);
      left -= text.length + 1;
      if (left < 0) break;
      texts.unshift(text);
      first -= 1;
    }
    const start = messages.slice(first).findIndex(({ role }) => role === "user");
    try {
      if (start < 0) localStorage.removeItem(PLACE);
      else localStorage.setItem(PLACE, `[${texts.slice(start).join(",")}]`);
    } catch {
      // As said above.
    }
  }
}

function isMessage(one) {
  return ["user", "assistant", "tool"].includes(one?.role) && typeof one.content === "string"
    && (one.tool_calls === undefined || Array.isArray(one.tool_calls));
}
