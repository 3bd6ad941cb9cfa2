// Text with a little Markdown, shown while it comes. Complete lines are never touched again, and blocks have a largest
// size, so that a piece of a long text costs what a piece of a short one does.

import { element } from "./element.js";

const MOST_LINE = 2000; // characters of a line that are formatted together
const MOST_BLOCK = 4000; // characters of a paragraph or a part of code: what is laid out together
const MOST_TABLE = 20_000; // of a table, or of one line of code

const FENCE = /^ {0,8}(`{3,}|~{3,})([^`]*)$/; // in lists they stand further in
const MAYBE_FENCE = /^ {0,8}(`+|~+)[^`~]*$/;
const HEADING = /^(#{1,6}) +(.*)$/;
const ITEM = /^( *)(?:[-*+]|(\d{1,9})[.)]) +(.*)$/;
const INSIDE_ITEM = /^ {2,}(\S.*)$/;
const QUOTE = /^>( ?)(.*)$/;
const RULE = /^ {0,3}([-*_])(?: *\1){2,} *$/;
const ROW = /^ *\|(.*)\| *$/;
const DIVIDER = /^[ |:-]+$/;

// None of these can run across another's mark: a line takes time in proportion to its length.
const INLINE = new RegExp([
  /`([^`]+)`/,
  /\*\*([^*]+)\*\*/,
  /\*([^*\s]|[^*\s][^*]*[^*\s])\*/,
  /~~([^~]+)~~/,
  /\[([^[\]]*)\]\((https?:\/\/[^\s()<>]+)\)/,
  /(https?:\/\/[^\s<>"'`)\]]*[^\s<>"'`)\].,;:!?*])/,
].map(({ source }) => source).join("|"), "g");

function* inline(text) {
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    const [all, code, bold, italic, struck, label, target, address] = found;
    if (found.index > end) yield text.slice(end, found.index);
    end = found.index + all.length;
    if (code) yield element("code", { textContent: code });
    else if (bold) yield element("strong", {}, ...inline(bold));
    else if (italic) yield element("em", {}, ...inline(italic));
    else if (struck) yield element("s", {}, ...inline(struck));
    else yield link(label || target || address, target ?? address);
  }
  if (end < text.length) yield text.slice(end);
}

function link(label, address) {
  return element("a", { textContent: label, href: address, title: address, target: "_blank", rel: "noopener noreferrer" });
}

export class Prose {
  // `code`: all of it is one block of code, whatever it looks like.
  constructor(place, { code = false } = {}) {
    this.place = place;
    this.line = ""; // what of the last line is not final
    this.within = false; // a part of that line is final already
    this.drawn = []; // the nodes that show it
    this.block = null; // what the next line may be a part of
    this.length = 0; // of that block's text
    this.before = [null, 0]; // block and length without the last line
    this.fence = null; // what ends the code
    this.code = null;
    this.indent = 0; // of the code
    if (code) this.openCode("", "", 0);
  }

  add(text) {
    const parts = text.split("\n");
    for (const [number, part] of parts.entries()) {
      this.line += part;
      while (this.line.length > MOST_LINE) this.cut();
      if (number < parts.length - 1) this.endLine();
    }
    this.draw();
  }

  // Nothing follows.
  end() {
    if (this.line) this.endLine();
    if (this.code) this.code.parentElement.dataset.complete = "";
  }

  cut() {
    const space = this.line.lastIndexOf(" ", MOST_LINE - 1);
    let at = space > MOST_LINE / 2 ? space + 1 : MOST_LINE;
    if (/[\uD800-\uDBFF]/.test(this.line[at - 1])) at -= 1; // the halves of a character stay together
    const rest = this.line.slice(at);
    this.line = this.line.slice(0, at);
    this.settle();
    this.within = true;
    this.line = rest;
  }

  endLine() {
    if (this.fence !== null && !this.within && this.closes(this.line)) {
      this.closeCode();
    } else if (this.code) {
      this.appendCode(`${this.outdented()}\n`);
    } else {
      this.settle();
    }
    this.line = "";
    this.within = false;
  }

  closes(line) {
    const found = FENCE.exec(line);
    return found !== null && found[1].startsWith(this.fence) && !found[2].trim();
  }

  // Shows the line as it is so far.
  draw() {
    if (this.code) {
      const open = this.fence !== null && !this.within; // it may become the end, or lose more of its beginning
      if (!this.line || (open && (MAYBE_FENCE.test(this.line) || !this.line.trim()))) return;
      this.appendCode(this.outdented());
      this.line = "";
      this.within = true;
      return;
    }
    this.undo();
    if (this.line) this.render(this.line, false);
  }

  undo() {
    for (const node of this.drawn) node.remove();
    this.drawn = [];
    [this.block, this.length] = this.before;
  }

  settle() {
    if (this.code) return this.appendCode(this.outdented());
    this.undo();
    this.render(this.line, true);
    this.drawn = [];
    this.before = [this.block, this.length];
  }

  put(parent, ...children) {
    const nodes = children.map((one) => (typeof one === "string" ? document.createTextNode(one) : one));
    parent.append(...nodes);
    this.drawn.push(...nodes);
  }

  render(line, complete) {
    if (this.within) return this.paragraph("P", line, "");
    const fence = FENCE.exec(line);
    if (fence || ROW.test(line) || RULE.test(line)) {
      if (!complete) return; // it may still become something else
      if (fence) this.openCode(fence[2].trim(), fence[1], line.indexOf(fence[1]));
      else if (ROW.test(line)) this.row(ROW.exec(line)[1]);
      else this.whole(element("hr"));
      return;
    }
    const [heading, item, inside, quote] = [HEADING, ITEM, INSIDE_ITEM, QUOTE].map((kind) => kind.exec(line));
    if (!line.trim()) {
      if (this.block && !["UL", "OL"].includes(this.block.tagName)) this.block = null;
    } else if (heading) {
      this.whole(element(`h${Math.min(heading[1].length + 2, 6)}`, {}, ...inline(heading[2])));
    } else if (item) {
      this.item(item);
    } else if (inside && this.block?.lastChild?.tagName === "LI" && this.length < MOST_BLOCK) {
      this.put(this.block.lastChild, "\n", ...inline(inside[1]));
      this.length += line.length;
    } else if (quote) {
      this.paragraph("BLOCKQUOTE", quote[2], "\n");
    } else {
      this.paragraph("P", line, "\n");
    }
  }

  // A block that no line can continue.
  whole(made) {
    this.put(this.place, made);
    this.block = null;
  }

  paragraph(tag, text, joint) {
    if (this.block?.tagName === tag && this.length < MOST_BLOCK) {
      this.put(this.block, joint, ...inline(text));
    } else {
      this.block = element(tag, {}, ...inline(text));
      this.length = 0;
      this.put(this.place, this.block);
    }
    this.length += text.length;
  }

  item([, indent, number, text]) {
    const tag = number === undefined ? "UL" : "OL";
    if (this.block?.tagName !== tag) {
      this.block = element(tag);
      this.put(this.place, this.block);
    }
    const made = element("li", { className: `deep${Math.min(indent.length >> 1, 3)}` }, ...inline(text));
    if (number !== undefined) made.value = Number(number);
    this.put(this.block, made);
    this.length = text.length;
  }

  row(inner) {
    if (this.block?.tagName !== "TABLE" || this.length > MOST_TABLE) {
      this.block = element("table");
      this.length = 0;
      this.put(this.place, element("div", { className: "wide" }, this.block));
    }
    this.length += inner.length;
    if (DIVIDER.test(inner) && this.block.rows.length === 1) {
      const titles = [...this.block.rows[0].cells].map((cell) => element("th", { scope: "col" }, ...cell.childNodes));
      this.block.rows[0].replaceChildren(...titles);
      return;
    }
    const cells = inner.split("|").map((text) => element("td", {}, ...inline(text.trim())));
    this.block.append(element("tr", {}, ...cells));
  }

  // The code of a list stands where the list's text does.
  outdented() {
    if (this.within) return this.line;
    const spaces = this.line.length - this.line.trimStart().length;
    return this.line.slice(Math.min(spaces, this.indent));
  }

  openCode(language, fence, indent) {
    const code = element("pre");
    const copy = element("button", { type: "button", className: "copy", textContent: "Copy" });
    copy.addEventListener("click", () => copyText(code.textContent, copy));
    const title = element("figcaption", {}, element("span", { textContent: language.slice(0, 40) }), ...(navigator.clipboard ? [copy] : []));
    this.place.append(element("figure", { className: "code" }, title, code));
    this.code = code;
    this.fence = fence || null;
    this.indent = indent;
    this.block = null;
    this.part = null;
  }

  closeCode() {
    this.code.parentElement.dataset.complete = "";
    this.code = null;
    this.fence = null;
    this.before = [null, 0];
  }

  appendCode(text) {
    const full = this.part && (this.part.length > MOST_TABLE || (this.part.length > MOST_BLOCK && !this.within));
    if (!this.part || full) {
      this.part = document.createTextNode("");
      this.code.append(element("code", {}, this.part));
    }
    this.part.appendData(text);
  }
}

// Copies, and says so on the button.
export async function copyText(text, button) {
  const label = button.textContent;
  const done = await navigator.clipboard.writeText(text).then(() => "Copied", () => "Not allowed");
  button.textContent = done;
  setTimeout(() => { button.textContent = label; }, 1500);
}
