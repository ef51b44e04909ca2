// Block Kit as DOM nodes. `on` says what happens at a click: on.press(element, value, button), on.names.
import { date, emoji, group, h, mention, mrkdwn } from "/markup.js";

/** A `plain_text` or `mrkdwn` object. */
function text(object, names) {
  if (!object) return [];
  if (object.type === "mrkdwn") return mrkdwn(object.text, names);
  const plain = object.emoji === false ? object.text : object.text.replace(/:([a-z0-9_+-]+):/g, (_, name) => emoji(name));
  return plain.split("\n").flatMap((line, i) => (i ? [h("br"), line] : [line]));
}

/** The text of a `plain_text` object. */
export const plain = (object) => text({ type: "plain_text", ...object }, {}).filter((node) => typeof node === "string").join(" ");

/** All blocks of a message or modal. */
export const blocks = (list, on) => list.map((block) => h(`div.block.${block.type}`, {}, ...(SHOW[block.type]?.(block, on) ?? [])));

const SHOW = {
  section: (block, on) => [
    h("div.section-text", {},
      block.text && h("div", {}, ...text(block.text, on.names)),
      block.fields && h("div.fields", {}, block.fields.map((field) => h("div", {}, ...text(field, on.names))))),
    block.accessory && element(block.accessory, block, on),
  ],
  header: (block, on) => [h("h3", {}, ...text(block.text, on.names))],
  context: (block, on) => block.elements.map((one) =>
    one.type === "image" ? h("span", {}, one.alt_text) : h("span", {}, ...text(one, on.names))),
  actions: (block, on) => block.elements.map((one) => element(one, block, on)),
  divider: () => [h("hr")],
  image: (block) => [h("span.alt", {}, `🖼 ${block.alt_text}`)],
  markdown: (block, on) => mrkdwn(block.text.replace(/\*\*/g, "*"), on.names),
  rich_text: (block, on) => block.elements.map((part) => rich(part, on.names)),
  table: (block, on) => [h("table", {}, block.rows.map((row) =>
    h("tr", {}, row.map((cell) => h("td", {}, ...(cell.type === "rich_text"
      ? cell.elements.map((part) => rich(part, on.names)) : [cell.text]))))))],
  input: (block, on) => input(block, on),
};

function rich(part, names) {
  if (part.type === "rich_text_list") {
    const items = part.elements.map((line) => h("li", {}, ...line.elements.map((one) => word(one, names))));
    return h(part.style === "ordered" ? "ol" : "ul", {}, ...items);
  }
  const tag = { rich_text_preformatted: "pre", rich_text_quote: "blockquote" }[part.type] ?? "div";
  return h(tag, {}, ...part.elements.map((one) => word(one, names)));
}

function word(one, names) {
  const show = {
    text: () => one.text.split("\n").flatMap((line, i) => (i ? [h("br"), line] : [line])),
    link: () => (/^(https?|mailto):/.test(one.url)
      ? [h("a", { href: one.url, target: "_blank", rel: "noreferrer" }, one.text ?? one.url)] : [one.text ?? one.url]),
    user: () => [mention(one.user_id, names)],
    usergroup: () => [group(one.usergroup_id, names)],
    channel: () => [h("span.mention", {}, `#${names.channels[one.channel_id] ?? "unknown"}`)],
    broadcast: () => [h("span.mention.me", {}, `@${one.range}`)],
    emoji: () => [emoji(one.name)],
    date: () => [date(one, names)],
  }[one.type];
  let nodes = show?.() ?? [];
  const style = one.style ?? {};
  if (style.code) nodes = [h("code", {}, ...nodes)];
  if (style.bold) nodes = [h("strong", {}, ...nodes)];
  if (style.italic) nodes = [h("em", {}, ...nodes)];
  if (style.strike) nodes = [h("s", {}, ...nodes)];
  return h("span", {}, ...nodes);
}

/** Anything that can be pressed outside an input. */
function element(one, block, on) {
  if (one.type === "image") return h("span.alt", {}, `🖼 ${one.alt_text}`);
  const attributes = { "data-action-id": one.action_id, "data-block-id": block.block_id };
  if (one.type === "button") {
    const press = (event) => {
      if (one.url) window.open(one.url, "_blank", "noreferrer");
      on.press(one, one.value ?? "", event.currentTarget);
    };
    const style = one.style ? `button.button.${one.style}` : "button.button";
    return h(style, { ...attributes, type: "button", "data-value": one.value, "aria-label": one.accessibility_label, onclick: press },
      ...text(one.text, on.names));
  }
  const choose = (event) => event.target.value && on.press(one, event.target.value, event.target);
  const empty = h("option", { value: "" }, one.type === "overflow" ? "⋯" : plain(one.placeholder ?? { text: "Choose…" }));
  return h("select.menu", { ...attributes, onchange: choose, "aria-label": one.type === "overflow" ? "More" : "Choose" },
    empty, ...(one.options ?? []).map((option) => h("option", { value: option.value }, plain(option.text))));
}

/** An input of a modal. */
function input(block, on) {
  const one = block.element;
  const id = `in-${block.block_id}`;
  const label = [plain(block.label), block.optional ? h("span.optional", {}, " (optional)") : null];
  const error = h("p.error", { "data-error": block.block_id, role: "alert", hidden: true });
  const hint = block.hint && h("p.note", {}, plain(block.hint));
  const data = { id, "data-block-id": block.block_id, "data-action-id": one.action_id };
  if (["checkboxes", "radio_buttons"].includes(one.type)) {
    const chosen = (one.initial_options ?? [one.initial_option]).filter(Boolean).map((option) => option.value);
    const type = one.type === "checkboxes" ? "checkbox" : "radio";
    const boxes = one.options.map((option) => h("label.tick", {},
      h("input", { type, name: id, value: option.value, checked: chosen.includes(option.value) }),
      h("span", {}, ...text(option.text, on.names),
        option.description && h("span.note", {}, ...text(option.description, on.names)))));
    return [h("fieldset", { ...data, "data-kind": "many" }, h("legend", {}, ...label), boxes), hint, error];
  }
  return [h("label", { for: id }, ...label), control(one, data, on), hint, error];
}

function control(one, data, on) {
  if (one.type === "plain_text_input") {
    const placeholder = one.placeholder && plain(one.placeholder);
    const field = h(one.multiline ? "textarea" : "input", { ...data, "data-kind": "text", placeholder, rows: one.multiline && 4 });
    field.value = one.initial_value ?? "";
    return field;
  }
  const initial = (one.initial_options ?? [one.initial_option]).filter(Boolean).map((option) => option.value);
  const people = Object.values(on.names.people).map((person) => ({ value: person.id, text: { text: person.name } }));
  const options = (one.type === "users_select" ? people : one.options).map((option) =>
    h("option", { value: option.value, selected: [...initial, one.initial_user].includes(option.value) }, plain(option.text)));
  const multiple = one.type === "multi_static_select";
  return h("select", { ...data, multiple, "data-kind": multiple ? "multi" : "text" }, !multiple && h("option", { value: "" }, "Choose…"), options);
}

/** What is in the inputs below `root`: {block: {action: "text" | ["value", …]}}. */
export function filled(root) {
  const values = {};
  for (const field of root.querySelectorAll("[data-kind]")) {
    const { blockId, actionId, kind } = field.dataset;
    const ticked = () => [...field.querySelectorAll("input:checked")].map((box) => box.value);
    const chosen = () => [...field.selectedOptions].map((option) => option.value);
    (values[blockId] ??= {})[actionId] = kind === "many" ? ticked() : kind === "multi" ? chosen() : field.value;
  }
  return values;
}

/** Puts back what was in the inputs before they were drawn again. */
export function refill(root, values) {
  for (const field of root.querySelectorAll("[data-kind]")) {
    const value = values[field.dataset.blockId]?.[field.dataset.actionId];
    if (value === undefined) continue;
    if (Array.isArray(value)) {
      for (const box of field.querySelectorAll("input, option")) {
        box.checked = box.selected = value.includes(box.value);
      }
    } else field.value = value;
  }
}
