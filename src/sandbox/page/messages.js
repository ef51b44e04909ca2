// Rows of a channel or thread, and the two dialogs: a button's confirmation and a modal.
import { blocks, filled, plain, refill } from "/blocks.js";
import { clock, day, emoji, h, mrkdwn } from "/markup.js";

/** Draws only the items that changed; an element that had the focus gets it back in its new self. */
export function keep(container, items, key, draw) {
  const known = container.kept ?? new Map();
  const next = new Map();
  for (const item of items) {
    const [id, sign] = [key(item), JSON.stringify(item)];
    const old = known.get(id);
    next.set(id, old?.sign === sign ? old : { sign, node: draw(item), old: old?.node });
  }
  for (const [id, { node }] of known) if (!next.has(id)) node.remove();
  let at = container.firstChild;
  for (const entry of next.values()) {
    if (entry.old) {
      const focus = entry.old.contains(document.activeElement) && document.activeElement.dataset;
      if (at === entry.old) at = entry.node;
      entry.old.querySelectorAll("details").forEach((one, i) => {
        const same = entry.node.querySelectorAll("details")[i];
        if (same) same.open = one.open;
      });
      entry.old.replaceWith(entry.node);
      delete entry.old;
      if (focus?.actionId) entry.node.querySelector(`[data-action-id="${CSS.escape(focus.actionId)}"]`)?.focus();
    }
    if (entry.node === at) at = at.nextSibling;
    else container.insertBefore(entry.node, at);
  }
  container.kept = next;
}

const HUES = [200, 28, 270, 150, 340, 55, 230, 100];

function avatar(id, names) {
  if (id === names.bot) {
    const gate = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    gate.setAttribute("viewBox", "0 0 32 32");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", "M6 24V9l9 5v13zM26 24V9l-9 5v13z");
    gate.append(path);
    return h("span.avatar.bot", { "aria-hidden": "true" }, gate);
  }
  const name = names.people[id]?.name ?? "Slackbot";
  const element = h("span.avatar", { "aria-hidden": "true" }, name.slice(0, 1));
  const order = Object.keys(names.people).indexOf(id);
  element.style.background = order < 0 ? "#6b7280" : `hsl(${HUES[order % HUES.length]} 38% 46%)`;
  return element;
}

function head(message, names) {
  const person = names.people[message.author];
  const app = message.author === names.bot || !person;
  return h("div.head", {},
    h("strong.author", {}, person?.name ?? "Slackbot"), app && h("span.app-badge", {}, "APP"),
    h("time", { datetime: message.time, title: message.time }, clock(new Date(message.time))),
    message.edited && h("span.edited", {}, "(edited)"));
}

/** A line between two days. */
export const divider = (at) => h("div.day", { role: "separator" }, h("span", {}, day(new Date(at))));

/** A message: what `on` needs is press, thread(ts) and names. */
export function row(message, on) {
  const kind = message.ephemeral ? ".ephemeral" : message.mentions_me ? ".mentions-me" : "";
  const body = message.blocks.length ? blocks(message.blocks, on) : [h("div.block.section", {}, h("div.section-text", {}, ...mrkdwn(message.text, on.names)))];
  return h(`article.message${kind}`, { "data-testid": message.ephemeral ? "ephemeral" : "message", "data-ts": message.ts },
    avatar(message.author, on.names),
    h("div.body", {},
      message.ephemeral && h("p.only-you", {}, "👁 Only visible to you"),
      message.thread_ts && message.broadcast && !on.inThread && h("p.only-you", {}, "Also sent from a thread"),
      head(message, on.names), ...body, reactions(message), replies(message, on)));
}

const reactions = (message) => message.reactions?.length > 0 &&
  h("div.reactions", {}, message.reactions.map((name) => h("span.reaction", { title: `:${name}:` }, `${emoji(name)} 1`)));

function replies(message, on) {
  const thread = message.thread_ts ?? message.ts;
  const count = message.replies?.length ?? 0;
  if (on.inThread || (!count && !message.broadcast)) return null;
  const last = message.replies?.at(-1);
  const label = count ? (count === 1 ? "1 reply" : `${count} replies`) : "View thread";
  return h("button.replies", { type: "button", "data-testid": "thread-open", onclick: () => on.thread(thread) },
    h("span.link-text", {}, label), message.thread_mentions_me && h("span.badge", { title: "mentions you" }, "@"),
    last && h("span.note", {}, `last at ${clock(new Date(last.time))}`));
}

/** Asks as the button's `confirm` says; resolves to whether the person went on. */
export function confirmed(element, names) {
  const ask = element.confirm;
  if (!ask) return Promise.resolve(true);
  const dialog = document.getElementById("confirm");
  return new Promise((resolve) => {
    const done = (answer) => () => { dialog.close(); resolve(answer); };
    const go = ask.style === "danger" ? "button.button.danger" : "button.button.primary";
    const words = ask.text.type === "mrkdwn" ? mrkdwn(ask.text.text, names) : [plain(ask.text)];
    dialog.replaceChildren(
      h("h2", {}, plain(ask.title)), h("div.dialog-body", {}, ...words),
      h("footer", {},
        h("button.button", { type: "button", "data-testid": "confirm-cancel", onclick: done(false) }, plain(ask.deny)),
        h(go, { type: "button", "data-testid": "confirm-ok", autofocus: true, onclick: done(true) }, plain(ask.confirm))));
    dialog.oncancel = () => resolve(false);
    dialog.showModal();
  });
}

/** Shows the topmost modal, or none. What was typed survives an update of the same modal. */
export function showModal(view, on) {
  const dialog = document.getElementById("modal");
  if (!view) {
    if (dialog.open) dialog.close();
    dialog.shown = null;
    return;
  }
  if (dialog.shown !== `${view.id} ${view.hash}`) drawModal(dialog, view, on);
  for (const error of dialog.querySelectorAll("[data-error]")) {
    const text = view.errors[error.dataset.error] ?? "";
    if (error.textContent !== text) error.textContent = text;
    error.hidden = !text;
  }
}

function drawModal(dialog, view, on) {
  const typed = dialog.dataset.view === view.id ? filled(dialog) : {};
  const failed = h("p.error", { role: "alert", hidden: true });
  const send = view.body.submit && h("button.button.primary", { "data-testid": "modal-submit" }, plain(view.body.submit));
  const submit = async (event) => {
    event.preventDefault();
    if (send) send.disabled = true;
    const { ok, said } = await on.submit(view.id, filled(dialog));
    if (send) send.disabled = false;
    failed.hidden = ok;
    failed.textContent = ok ? "" : said;
  };
  const close = () => on.close(view.id);
  dialog.oncancel = (event) => { event.preventDefault(); close(); };
  dialog.replaceChildren(h("form", { onsubmit: submit },
    h("h2", {}, plain(view.body.title)),
    h("div.dialog-body", {}, ...blocks(view.body.blocks, on), failed),
    h("footer", {},
      h("button.button", { type: "button", "data-testid": "modal-close", onclick: close }, plain(view.body.close ?? { text: "Cancel" })), send)));
  refill(dialog, typed);
  dialog.shown = `${view.id} ${view.hash}`;
  dialog.dataset.view = view.id;
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("[data-kind], [data-kind] input")?.focus();
}
