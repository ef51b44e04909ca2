// Slack's markup as DOM nodes. Nothing here ever makes HTML from a string: texts from outside stay texts.

/** Makes an element: h("a.link", {href: "…"}, "text", node, …). */
export function h(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const EMOJI = {
  white_check_mark: "✅", heavy_check_mark: "✔️", x: "❌", warning: "⚠️", no_entry: "⛔", no_entry_sign: "🚫",
  hourglass_flowing_sand: "⏳", hourglass: "⌛", double_vertical_bar: "⏸️", pause_button: "⏸️", stopwatch: "⏱️",
  white_large_square: "⬜", black_large_square: "⬛", ballot_box_with_check: "☑️", large_green_circle: "🟢",
  large_yellow_circle: "🟡", large_orange_circle: "🟠", red_circle: "🔴", large_blue_circle: "🔵", white_circle: "⚪",
  lock: "🔒", unlock: "🔓", key: "🔑", rocket: "🚀", ship: "🚢", package: "📦", test_tube: "🧪", eyes: "👀", tada: "🎉",
  arrows_counterclockwise: "🔄", recycle: "♻️", twisted_rightwards_arrows: "🔀", rewind: "⏪", fast_forward: "⏩",
  arrow_right: "➡️", leftwards_arrow_with_hook: "↩️", point_right: "👉", construction: "🚧", hammer_and_wrench: "🛠️",
  bell: "🔔", zzz: "💤", hand: "✋", raised_hand: "✋", wave: "👋", thumbsup: "👍", "+1": "👍", thumbsdown: "👎",
  question: "❓", exclamation: "❗", information_source: "ℹ️", bulb: "💡", mag: "🔍", link: "🔗", memo: "📝", fire: "🔥",
  rotating_light: "🚨", sos: "🆘", robot_face: "🤖", broken_heart: "💔", green_heart: "💚", seedling: "🌱", scissors: "✂️",
};

/** An emoji by its name, or the name itself. */
export const emoji = (name) => EMOJI[name] ?? `:${name}:`;

const unescape = (text) => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");

// In this order: what comes first wins where several could begin.
const INLINE = new RegExp(
  [
    "`(?<code>[^`\\n]+)`",
    "<(?<link>[^<>\\n]+)>",
    "(?<![\\w*])\\*(?<bold>[^*\\s](?:[^*\\n]*[^*\\s])?)\\*(?![\\w*])",
    "(?<![\\w_])_(?<italic>[^_\\s](?:[^\\n]*?[^_\\s])?)_(?![\\w_])",
    "(?<![\\w~])~(?<strike>[^~\\s](?:[^~\\n]*[^~\\s])?)~(?![\\w~])",
    "(?<![\\w:]):(?<emoji>[a-z0-9_+-]+):",
    "(?<url>https?://[^\\s<>|`]+[^\\s<>|`.,;:!?)])",
  ].join("|"),
  "g",
);

/** `mrkdwn` as nodes; `names` says what ids are called: {people, channels, groups, me}. */
export function mrkdwn(text, names) {
  return text.split("```").flatMap((part, i) => {
    if (i % 2) return [h("pre", {}, unescape(part.replace(/^\n|\n$/g, "")))];
    return lines(i ? part.replace(/^\n/, "") : part, names);
  });
}

function lines(text, names) {
  const nodes = [];
  let quote = null;
  text.split("\n").forEach((line, i) => {
    const quoted = line.match(/^(?:&gt;|>) ?(.*)$/);
    if (quoted) {
      if (!quote) nodes.push((quote = h("blockquote")));
      else quote.append(h("br"));
      quote.append(...inline(quoted[1], names));
      return;
    }
    if (i && !quote) nodes.push(h("br"));
    quote = null;
    nodes.push(...inline(line, names));
  });
  return nodes;
}

function inline(text, names) {
  const nodes = [];
  let done = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > done) nodes.push(unescape(text.slice(done, match.index)));
    done = match.index + match[0].length;
    const { code, link, bold, italic, strike, emoji: name, url } = match.groups;
    if (code) nodes.push(h("code", {}, unescape(code)));
    else if (link) nodes.push(reference(link, names));
    else if (bold) nodes.push(h("strong", {}, ...inline(bold, names)));
    else if (italic) nodes.push(h("em", {}, ...inline(italic, names)));
    else if (strike) nodes.push(h("s", {}, ...inline(strike, names)));
    else if (name) nodes.push(emoji(name));
    else if (url) nodes.push(anchor(unescape(url), unescape(url)));
  }
  if (done < text.length) nodes.push(unescape(text.slice(done)));
  return nodes;
}

const anchor = (url, label) =>
  /^(https?|mailto):/.test(url) ? h("a", { href: url, target: "_blank", rel: "noreferrer" }, label) : label;

/** What stands between `<` and `>`. */
function reference(inner, names) {
  const [target, ...rest] = inner.split("|");
  const label = rest.length ? unescape(rest.join("|")) : null;
  if (target.startsWith("@")) return mention(target.slice(1), names);
  if (target.startsWith("#")) return h("span.mention", {}, `#${names.channels[target.slice(1)] ?? label ?? "unknown"}`);
  if (target.startsWith("!subteam^")) return group(target.slice(9), names);
  if (target.startsWith("!date^")) {
    const [, timestamp, format, url] = target.split("^");
    return date({ timestamp, format, url, fallback: label }, names);
  }
  if (target.startsWith("!")) return h("span.mention.me", {}, `@${target.slice(1)}`);
  return anchor(unescape(target), label ?? unescape(target));
}

export const mention = (id, names) =>
  h(id === names.me ? "span.mention.me" : "span.mention", {}, `@${names.people[id]?.name ?? "unknown"}`);

export const group = (id, names) => h("span.mention", {}, `@${names.groups[id] ?? "unknown group"}`);

const two = (number) => String(number).padStart(2, "0");
/** A time of day. */
export const clock = (at) => `${two(at.getHours())}:${two(at.getMinutes())}`;
/** A day in words. */
export const day = (at) => at.toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long" });

/** A `date` of rich text, or `<!date^seconds^{date_short_pretty} {time}^link|fallback>`. */
export function date({ timestamp, format, url, fallback }, names) {
  const at = new Date(Number(timestamp) * 1000);
  if (Number.isNaN(at.getTime())) return fallback ?? "";
  const [days, now] = [new Date(at).setHours(0, 0, 0, 0), new Date(names.now).setHours(0, 0, 0, 0)];
  const short = at.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
  const near = { [now]: "today", [now - 86400000]: "yesterday", [now + 86400000]: "tomorrow" }[days];
  const words = {
    time: clock(at), time_secs: `${clock(at)}:${two(at.getSeconds())}`, date_num: at.toISOString().slice(0, 10),
    date_short: short, date_short_pretty: near ?? short, date: short, date_pretty: near ?? short,
    date_long: day(at), date_long_pretty: near ?? day(at), ago: short,
  };
  const text = format.replace(/\{(\w+)\}/g, (all, key) => words[key] ?? all);
  return h("time", { title: at.toString() }, url ? anchor(url, text) : text);
}
