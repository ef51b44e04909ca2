// The page: asks for the state, draws what changed, sends what the person does.
import { confirmed, divider, keep, row, showModal } from "/messages.js";
import { day, h } from "/markup.js";
import { drawWorld, hint } from "/world.js";

const POLL_MS = 400;
const $ = (id) => document.getElementById(id);
const stored = (key, otherwise) => JSON.parse(localStorage.getItem(key) ?? "null") ?? otherwise;
const store = (key, value) => localStorage.setItem(key, JSON.stringify(value));

let me = sessionStorage.getItem("me") ?? "UANA";
let here = sessionStorage.getItem("channel") ?? "CDEPLOYS";
let thread = null;
let slack = null;
let world = null;
let last = "";
let read = stored("read", {});
let hints = stored("hints", true);
let pressed = false;

/** Sends an act; says what went wrong, if anything. */
async function act(body) {
  try {
    const response = await fetch("/act", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    const answer = await response.json();
    await poll();
    return answer;
  } catch {
    return { ok: false, said: "The sandbox does not answer." };
  }
}

async function worldAct(body) {
  const answer = await act({ world: body });
  if (answer.said) toast(answer.said, answer.ok);
}

async function slackAct(body) {
  const answer = await act({ slack: body });
  if (!answer.ok) toast(answer.said);
}

let toasting;
function toast(text, good = false) {
  clearTimeout(toasting);
  $("toast").textContent = text;
  $("toast").classList.toggle("good", good);
  $("toast").hidden = false;
  toasting = setTimeout(() => ($("toast").hidden = true), good ? 2500 : 5000);
}

async function poll() {
  try {
    const response = await fetch(`/state?as=${encodeURIComponent(me)}`);
    const text = await response.text();
    $("gone").hidden = true;
    if (text === last) return;
    last = text;
    ({ slack, world } = JSON.parse(text));
    if (slack.me === me && !pressed) draw();
  } catch (error) {
    $("gone").hidden = error instanceof SyntaxError;
    if (!(error instanceof TypeError)) console.error(error);
  }
}

function names() {
  return {
    me, bot: slack.bot.id, now: world.now ?? Date.now(),
    people: Object.fromEntries(slack.people.map((person) => [person.id, person])),
    channels: Object.fromEntries(slack.channels.map((channel) => [channel.id, channel.name])),
    groups: Object.fromEntries(slack.groups.map((group) => [group.id, group.name])),
  };
}

const channel = () => slack.channels.find((one) => one.id === here) ?? slack.channels[0];

/** What happens at a click on something at `at`. */
function handler(at, inThread = false) {
  const on = { names: names(), inThread, thread: openThread };
  on.press = async (element, value, button) => {
    if (!(await confirmed(element, on.names))) return;
    button.setAttribute("aria-busy", "true");
    await slackAct({ do: "click", user: me, at, action_id: element.action_id, value });
    button.removeAttribute("aria-busy");
  };
  return on;
}

const place = (message) => message.ephemeral
  ? { kind: "ephemeral", ts: message.ts } : { kind: "message", channel: here, ts: message.ts };

// --- messages ---------------------------------------------------------------------------------------------------

/** Top-level messages, broadcast replies and ephemerals of a channel, in the order of time. */
function rows(one) {
  const broadcast = one.messages.flatMap((message) => message.replies.filter((reply) => reply.broadcast));
  const private_ = one.ephemerals.filter((message) => !message.thread_ts);
  return [...one.messages, ...broadcast, ...private_.map(ephemeral)].sort((a, b) => (a.ts < b.ts ? -1 : 1));
}

const ephemeral = (message) => ({ ...message, ephemeral: true });

function withDays(messages) {
  let before = null;
  return messages.flatMap((message) => {
    const today = day(new Date(message.time));
    const items = today === before ? [message] : [{ day: message.time, name: today }, message];
    before = today;
    return items;
  });
}

function drawLog(log, messages, inThread) {
  const key = `${me} ${here} ${inThread ? thread : ""}`;
  if (log.shown !== key) {
    log.replaceChildren();
    log.kept = null;
  }
  const atEnd = log.shown !== key || log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  const newest = messages.at(-1)?.ts;
  const brief = (one) => (one.day ? one : { ...one, thread_mentions_me: mentionsInThread(one), replies: inThread ? [] : one.replies?.map(({ ts, time }) => ({ ts, time })) });
  keep(log, withDays(messages).map(brief), (one) => (one.day ? `day ${one.name}` : one.ts),
    (one) => (one.day ? divider(one.day) : row(one, handler(place(one), inThread))));
  if (atEnd) log.scrollTop = log.scrollHeight;
  if (!inThread) $("newer").hidden = atEnd || log.newest === newest;
  log.shown = key;
  if (atEnd) log.newest = newest;
}

const mentionsInThread = (message) =>
  (message.replies ?? []).some((reply) => reply.mentions_me && reply.ts > (read[`${me} ${here} ${message.ts}`] ?? ""));

function openThread(ts) {
  thread = ts;
  mark(`${me} ${here} ${ts}`, channel().messages.find((message) => message.ts === ts)?.replies.at(-1)?.ts ?? "");
  $("thread").hidden = false;
  draw();
  $("thread-close").focus();
}

function drawThread() {
  const parent = thread && channel().messages.find((message) => message.ts === thread);
  $("thread").hidden = !parent;
  document.body.classList.toggle("with-thread", Boolean(parent));
  if (!parent) return;
  const private_ = channel().ephemerals.filter((message) => message.thread_ts === thread).map(ephemeral);
  const replies = [...parent.replies, ...private_].sort((a, b) => (a.ts < b.ts ? -1 : 1));
  drawLog($("thread-log"), [parent, ...replies], true);
  mark(`${me} ${here} ${thread}`, replies.at(-1)?.ts ?? "");
}

function mark(key, ts) {
  if (document.hidden || (read[key] ?? "") >= ts) return;
  read[key] = ts;
  store("read", read);
}

// --- sidebar ----------------------------------------------------------------------------------------------------

function unread(one) {
  const since = read[`${me} ${one.id}`] ?? "";
  const all = one.messages.flatMap((message) => [message, ...message.replies]).filter((message) => message.ts > since && message.author !== me);
  const shown = all.filter((message) => !message.thread_ts || message.broadcast);
  return { new: shown.length > 0, mine: one.dm ? all.length : all.filter((message) => message.mentions_me).length };
}

function drawSidebar() {
  const people = slack.people.filter((person) => person.acts);
  keep($("person"), people, (person) => person.id,
    (person) => h("option", { value: person.id, selected: person.id === me }, `${person.name}, ${person.role}`));
  $("person").value = me;
  const entry = ({ id, name, dm, count, current }) => h("li", {}, h("button.channel", {
    type: "button", "data-testid": `channel-${name}`, "data-channel": id, "aria-current": current && "page",
    class: `channel${count.new ? " unread" : ""}`, onclick: () => go(id),
  }, h("span.hash", { "aria-hidden": "true" }, dm ? "●" : "#"), dm ? slack.bot.name : name,
  count.mine > 0 && h("span.badge", { title: dm ? "new for you" : "mentions you" }, String(count.mine))));
  const entries = slack.channels.map((one) => ({ id: one.id, name: one.name, dm: one.dm, count: unread(one), current: one.id === here }));
  keep($("channels"), entries.filter((one) => !one.dm), (one) => one.id, entry);
  keep($("dms"), entries.filter((one) => one.dm), (one) => one.id, entry);
  $("link").textContent = slack.sockets ? "Lockkeeper is connected" : "Lockkeeper is not connected";
  $("link").classList.toggle("up", slack.sockets > 0);
}

function go(id) {
  here = id;
  thread = null;
  sessionStorage.setItem("channel", here);
  draw();
  $("composer").focus();
}

/** What an empty channel is for. */
function nothingYet(one) {
  if (one.dm) return `Ask ${slack.bot.name} something: type ${slack.command} help.`;
  if (one.name !== "deploys") return "No messages yet.";
  return `${slack.bot.name} writes here: one message for each run, kept up to date from the merge to production. Merge a pull request on the right to see the first.`;
}

/** What time it is where I am: reminders keep to it. */
function localTime() {
  const { tz } = slack.people.find((person) => person.id === me) ?? { tz: "UTC" };
  const time = new Date(world.now).toLocaleString("en-GB", { timeZone: tz, weekday: "long", hour: "2-digit", minute: "2-digit" });
  return `${time} in ${tz}`;
}

function drawMain() {
  const one = channel();
  here = one.id;
  $("title").textContent = one.dm ? slack.bot.name : `# ${one.name}`;
  $("topic").textContent = one.dm ? `Direct message with the bot · ${localTime()}` : one.bot_is_member ? "Lockkeeper is here" : "Lockkeeper is not a member, but commands work";
  $("composer").placeholder = `Type ${slack.command} help, or a message`;
  const all = rows(one);
  drawLog($("log"), all, false);
  $("empty").hidden = all.length > 0;
  if (!all.length) $("empty").textContent = nothingYet(one);
  const newest = one.messages.flatMap((message) => [message, ...message.replies]).map((message) => message.ts).sort().at(-1);
  mark(`${me} ${here}`, newest ?? "");
}

function draw() {
  drawMain();
  drawThread();
  drawSidebar();
  const top = slack.views.at(-1);
  showModal(top, top && {
    ...handler({ kind: "view", id: top.id }),
    submit: (view_id, values) => act({ slack: { do: "submit", user: me, view_id, values } }),
    close: (view_id) => slackAct({ do: "close_view", user: me, view_id }),
  });
  const name = slack.people.find((person) => person.id === me)?.name;
  drawWorld(world, slack, { name, world: worldAct, slack: slackAct });
  $("hint").hidden = !hints;
  if ($("hint-text").textContent !== hint(world, slack)) $("hint-text").textContent = hint(world, slack);
}

// --- the composer -----------------------------------------------------------------------------------------------

const COMMANDS = [
  ["status h", "environments, versions, the current run"], ["health h", "Elastic Beanstalk's view, its servers and events"], ["pending h", "what is merged and not in production"],
  ["approve h", "deploy to production"], ["reject h because…", "turn a deployment down"], ["tested h", "tick your own changes"],
  ["redeploy h", "new servers, the same version"], ["start h", "start Deploy for the newest commit"],
  ["ping h", "ask the authors of undeployed changes"], ["where 4498", "follow a change to production"],
  ["revert h 4498", "take a change back by a pull request"],
  ["retry h", "run failed jobs again"], ["cancel h", "cancel the run that goes on"],
  ["hold h because…", "refuse approvals for now"], ["release h", "end the hold"], ["history h", "who decided what, when"],
  ["env h", "variables that are missing or differ"],
  ["whoami", "who you are, and what you may do"], ["help", "what there is"],
];
const sent = [];
let recalled = 0;
let chosen = -1;

function offered() {
  const text = $("composer").value;
  if (!text.startsWith("/") || !slack) return [];
  const all = [["", "what concerns you now"], ...COMMANDS].map(([usage, words]) => [`${slack.command} ${usage}`.trim(), words]);
  const fits = all.filter(([usage]) => usage.toLowerCase().startsWith(text.toLowerCase().trimEnd()) && usage !== text.trimEnd());
  return fits;
}

function drawOffers() {
  const offers = offered();
  chosen = Math.min(chosen, offers.length - 1);
  $("hints").hidden = !offers.length;
  $("composer").setAttribute("aria-expanded", String(offers.length > 0));
  $("hints").replaceChildren(...offers.map(([usage, words], i) => h("li", {
    role: "option", id: `offer-${i}`, "aria-selected": String(i === chosen), onmousedown: (event) => { event.preventDefault(); take(usage); },
  }, h("code", {}, usage), h("span.note", {}, words))));
  if (chosen >= 0) $("composer").setAttribute("aria-activedescendant", `offer-${chosen}`);
  else $("composer").removeAttribute("aria-activedescendant");
}

function take(usage) {
  const open = usage.indexOf("because…");
  $("composer").value = open < 0 ? usage : usage.slice(0, open);
  chosen = -1;
  drawOffers();
  $("composer").focus();
}

async function send() {
  const text = $("composer").value.trim();
  if (!text || !slack) return;
  const [command, ...rest] = text.split(/\s/);
  if (command.startsWith("/") && command !== slack.command) return toast(`${command} is not a valid command. Here there is ${slack.command}.`);
  $("composer").value = "";
  sent.push(text);
  recalled = sent.length;
  drawOffers();
  $("log").scrollTop = $("log").scrollHeight;
  const act_ = command === slack.command ? { do: "command", text: rest.join(" ") } : { do: "say", text };
  const answer = await act({ slack: { ...act_, user: me, channel: here } });
  if (!answer.ok && act_.do === "say") toast(answer.said);
}

function recall(step) {
  recalled = Math.max(0, Math.min(sent.length, recalled + step));
  $("composer").value = sent[recalled] ?? "";
}

// Between pressing and letting go nothing is drawn, or the click would fall between two drawings of a button.
document.addEventListener("pointerdown", () => (pressed = true), true);
for (const end of ["pointerup", "pointercancel"]) {
  document.addEventListener(end, () => setTimeout(() => { pressed = false; last = ""; }), true);
}
$("write").addEventListener("submit", (event) => { event.preventDefault(); send(); });
$("composer").addEventListener("input", () => { chosen = -1; drawOffers(); });
$("composer").addEventListener("blur", () => ($("hints").hidden = true));
$("composer").addEventListener("focus", drawOffers);
$("composer").addEventListener("keydown", (event) => {
  const offers = offered();
  if (event.key === "Tab" && !event.shiftKey && offers.length) take(offers[Math.max(chosen, 0)][0]);
  else if (event.key === "Enter" && chosen >= 0) take(offers[chosen][0]);
  else if (event.key === "Escape") $("hints").hidden = true;
  else if (event.key === "ArrowDown" && offers.length) chosen = Math.min(chosen + 1, offers.length - 1), drawOffers();
  else if (event.key === "ArrowUp" && chosen >= 0) chosen -= 1, drawOffers();
  else if (event.key === "ArrowUp") recall(-1);
  else if (event.key === "ArrowDown") recall(1);
  else return;
  event.preventDefault();
});
$("person").addEventListener("change", (event) => {
  const dm = here.startsWith("D");
  me = event.target.value;
  sessionStorage.setItem("me", me);
  thread = null;
  if (dm) here = "CDEPLOYS";
  last = "";
  poll();
});
$("thread-close").addEventListener("click", () => { thread = null; draw(); $("composer").focus(); });
$("newer").addEventListener("click", () => { $("log").scrollTop = $("log").scrollHeight; $("newer").hidden = true; });
$("log").addEventListener("scroll", () => {
  const log = $("log");
  if (log.scrollHeight - log.scrollTop - log.clientHeight < 80) $("newer").hidden = true;
});
$("hint-close").addEventListener("click", () => { hints = false; store("hints", false); $("hint").hidden = true; });

(async function loop() {
  await poll();
  setTimeout(loop, document.hidden ? POLL_MS * 5 : POLL_MS);
})();
