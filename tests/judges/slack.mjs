// Judges what passed between the bot and the pretend Slack by the types of Slack's own SDKs: node slack.mjs RECORD SCHEMAS MANIFEST

import { readFileSync } from "node:fs";
import { Ajv } from "ajv";
import { parse } from "yaml";
import { Verdicts, lines, mustRefuse, worst } from "./record.mjs";
import { METHODS, typeOf } from "./slack_methods.mjs";

const [folder, schemas, manifest] = process.argv.slice(2);

const options = { strict: false, allErrors: true, logger: false };
const [strict, texts] = [new Ajv(options), new Ajv({ ...options, coerceTypes: true })];
const types = JSON.parse(readFileSync(schemas, "utf8"));
const validators = new Map();

/** What is wrong with a value of a type, if anything. In `texts`, numbers and booleans are words, as in a query. */
function complaint(type, value, ajv = strict) {
  const key = `${type} ${ajv === texts}`;
  if (!validators.has(key)) validators.set(key, ajv.compile(types[type]));
  const validate = validators.get(key);
  return validate(value) ? undefined : worst(validate.errors);
}

// Where the types say less than Slack does. There are five such exceptions, and no others.

/** An answer without what its type has no good description of; that is judged by other types. */
function answered(wrong, answer) {
  for (const holder of [answer.message, answer.view, ...(answer.messages ?? [])].filter((one) => one?.blocks)) {
    // 1. The types of answers are made from samples, and their blocks are a jumble: they are judged as what may be sent.
    const complained = complaint("Blocks", holder.blocks);
    if (complained) wrong(`blocks ${complained}`);
    delete holder.blocks;
  }
  // 2. What a modal has not is null, as @slack/bolt has it for the same modal in a payload (ViewOutput).
  for (const name of ["previous_view_id", "submit", "close"]) if (answer.view?.[name] === null) delete answer.view[name];
  return answer;
}

/** A payload without what Slack is known to send and its types do not have. */
function sent(payload) {
  // 3. Outside of Enterprise it is null, and users have this second name (both seen in slack_sdk's own samples).
  if (payload.enterprise === null) delete payload.enterprise;
  if (payload.type !== "block_actions") delete payload.user?.username;
  // 4. A button is told with its style, as it was sent.
  for (const action of payload.actions ?? []) if (action.type === "button") delete action.style;
  // 5. A chosen option is told whole: the types have it so in a click and not in a form.
  for (const block of Object.values(payload.view?.state?.values ?? {})) {
    for (const { selected_option, selected_options } of Object.values(block)) {
      for (const option of [selected_option, ...(selected_options ?? [])]) delete option?.description;
    }
  }
  return payload;
}

/** Judges a call of the Web API, or an answer by a `response_url`. */
function judgeCall(verdicts, line) {
  const url = new URL(line.target, "http://slack");
  if (!url.pathname.startsWith("/api/")) return judgeReply(verdicts, line);
  const method = url.pathname.slice("/api/".length);
  const content = (line.headers["content-type"] ?? "").split(";")[0];
  const isJson = content === "application/json";
  const form = Object.fromEntries([...url.searchParams, ...(isJson ? [] : new URLSearchParams(line.body))]);
  const given = { ...form, ...(isJson && line.body ? JSON.parse(line.body) : {}) };
  verdicts.count(method, "requests");
  const wrong = complaint(typeOf(method, "Arguments"), given, isJson ? strict : texts);
  if (wrong) verdicts.find(line, `${method}, request`, wrong);
  verdicts.count(method, "answers");
  // A page of HTML instead of an answer is what a fault of the server's looks like.
  if (line.status >= 500) return;
  const wrongly = (message) => verdicts.find(line, `${method}, answer ${line.status}`, message);
  const answer = answered(wrongly, JSON.parse(line.answer));
  const refused = complaint(typeOf(method, "Response"), answer);
  if (refused) wrongly(refused);
  if (!answer.ok && !answer.error) wrongly("/error is missing");
}

function judgeReply(verdicts, line) {
  verdicts.count("response_url", "requests");
  const wrong = complaint("RespondArguments", JSON.parse(line.body));
  if (wrong) verdicts.find(line, "response_url, request", wrong);
}

const PAYLOADS = { slash_commands: "SlashCommand", block_actions: "Click", view_submission: "ViewSubmitAction", view_closed: "ViewClosedAction" };
const ACKS = { slash_commands: "RespondArguments", view_submission: "ViewResponseAction" };
/** The kinds of the envelopes that are on their way. */
const envelopes = new Map();

/** Judges a frame of Socket Mode: the payload of an envelope, or of its ack. */
function judgeFrame(verdicts, line) {
  const frame = JSON.parse(line.frame);
  if (line.from === "app") {
    const kind = envelopes.get(frame.envelope_id);
    verdicts.count(`socket ${kind}`, "answers");
    const { envelope_id, payload, ...rest } = frame;
    const wrong = Object.keys(rest)[0] ?? (payload && Object.keys(payload).length > 0 && (ACKS[kind] ? complaint(ACKS[kind], payload) : "has a payload"));
    if (wrong) verdicts.find(line, `socket ${kind}, ack`, wrong);
    return;
  }
  if (!frame.envelope_id) return verdicts.count(`socket ${frame.type}`, "requests");
  const kind = frame.type === "slash_commands" ? frame.type : frame.payload.type;
  envelopes.set(frame.envelope_id, kind);
  verdicts.count(`socket ${kind}`, "requests");
  const wrong = complaint(PAYLOADS[kind], sent(frame.payload));
  if (wrong) verdicts.find(line, `socket ${kind}, envelope`, wrong);
}

const judge = (verdicts, line) => (line.service === "socket" ? judgeFrame : judgeCall)(verdicts, line);

function judgeManifest(verdicts, line) {
  verdicts.count("manifest.yml", "requests");
  const wrong = complaint("Manifest", line.manifest);
  if (wrong) verdicts.find(line, "manifest.yml", wrong);
}

const say = (body) => ({
  service: "slack", method: "POST", target: "/api/chat.postMessage", headers: { "content-type": "application/json" },
  body: JSON.stringify({ channel: "C1", text: "hi", ...body }), status: 200, answer: JSON.stringify({ ok: true, ts: "1.2", channel: "C1" }),
});
const header = (text) => say({ blocks: [{ type: "header", text }] });
mustRefuse("Slack's messages", judge, header({ type: "plain_text", text: "hi" }), header({ type: "mrkdwn", text: "hi" }));
mustRefuse("Slack's answers", judge, say({}), { ...say({}), answer: JSON.stringify({ ok: true, time_stamp: "1.2" }) });
const command = {
  token: "x", command: "/deploy", text: "", response_url: "x", trigger_id: "x", user_id: "U1", user_name: "ana", team_id: "T1", team_domain: "x",
  channel_id: "C1", channel_name: "deploys", api_app_id: "A1",
};
const envelope = (payload) => ({ service: "socket", from: "slack", frame: JSON.stringify({ type: "slash_commands", envelope_id: "self-test", payload }) });
mustRefuse("Slack's envelopes", judge, envelope(command), envelope({ ...command, user_id: 1 }));
const ack = (payload) => ({ service: "socket", from: "app", frame: JSON.stringify({ envelope_id: "self-test", payload }) });
mustRefuse("Slack's acks", judge, ack({ text: "hi" }), ack({ txt: "hi" }));
const app = { display_information: { name: "x" }, settings: { socket_mode_enabled: true } };
mustRefuse("Slack's manifest", judgeManifest, { manifest: app }, { manifest: { ...app, settings: { socket_mode: true } } });

// No form of the bot's asks to be told of its end, so there is no view_closed.
const SOCKET = ["hello", "disconnect", "slash_commands", "block_actions", "view_submission"].map((kind) => `socket ${kind}`);
const EXPECTED = [...METHODS, ...SOCKET, "response_url", "manifest.yml"];

const verdicts = new Verdicts();
judgeManifest(verdicts, { story: "manifest.yml", place: "manifest.yml", manifest: parse(readFileSync(manifest, "utf8")) });
for (const line of lines(folder)) {
  if (line.service === "slack" || line.service === "socket") judge(verdicts, line);
}
process.exit(verdicts.report("Slack (@slack/web-api, @slack/bolt, @slack/types)", EXPECTED) ? 0 : 1);
