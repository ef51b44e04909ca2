// GitHub's description of its webhooks (@octokit/openapi-webhooks) as a judge of what the pretend GitHub delivers, and OpenSSL's HMAC
// as one of its signatures.

import { createHmac } from "node:crypto";
import { read } from "./described.mjs";
import { worst } from "./record.mjs";

const { description, deref, typed, validator } = read("@octokit/openapi-webhooks");

/** What the README has ticked, and the others that the bot reads. */
export const EXPECTED = [
  "ping", "push", "pull-request-closed", "deployment-review-approved", "deployment-review-rejected", "deployment-review-requested",
  "workflow-job-completed", "workflow-job-in-progress", "workflow-job-queued", "workflow-job-waiting",
  "workflow-run-completed", "workflow-run-in-progress", "workflow-run-requested",
].map((name) => `webhook ${name}`);

/** What signs the pretend GitHub's webhooks (`HOOK_SECRET` of src/sandbox.rs). */
const SECRET = "sandbox-canary-hook-secret";

export const sign = (secret, body) => `sha256=${createHmac("sha256", secret).update(body, "utf8").digest("hex")}`;

// Where the description says less than GitHub does. There are three such exceptions, and no others.

/** A body without what GitHub is known to send (@octokit/webhooks-examples) and its description does not have. */
function known(name, body) {
  // 1. Accounts have it, in most places also by the description.
  const told = JSON.parse(JSON.stringify(body, (key, value) => (key === "user_view_type" ? undefined : value)));
  // 2. A run has its title; only of one in progress it is not said.
  if (name === "workflow-run-in-progress") delete told.workflow_run?.display_title;
  // 3. Teams may be reviewers, and are described as if they were accounts.
  if (told.reviewers) told.reviewers = told.reviewers.filter(({ type }) => type !== "Team");
  return told;
}

/** Judges a delivery, and what the bot answered. */
export function judge(verdicts, line) {
  const event = line.headers["x-github-event"];
  const body = JSON.parse(line.body);
  const name = [event, body.action].filter(Boolean).join("-").replaceAll("_", "-");
  const what = `webhook ${name}`;
  verdicts.count(what, "requests");
  const wrong = (message) => verdicts.find(line, what, message);
  const described = description.webhooks[name]?.post;
  if (!described) return wrong("is no webhook of GitHub's");
  for (const { name: key, required, schema } of described.parameters.map(deref)) {
    const text = line.headers[key.toLowerCase()];
    if (text === undefined ? required : !validator(schema)(typed(schema, text))) wrong(`header ${key} is ${text}`);
  }
  if (line.headers["x-hub-signature-256"] !== sign(SECRET, line.body)) wrong("is signed otherwise");
  const { schema } = described.requestBody.content[line.headers["content-type"]] ?? {};
  if (!schema) return wrong(`has the content type ${line.headers["content-type"]}`);
  if (!validator(schema)(known(name, body))) wrong(worst(validator(schema).errors));
  // None where the bot ended meanwhile; 503 where it could not pass it on.
  if (line.status === null) return;
  verdicts.count(what, "answers");
  if (line.status !== 503 && Math.floor(line.status / 100) !== 2) wrong(`is answered with ${line.status}`);
}

/** A greeting as it should be, with some of it replaced: what the judge is tried with. */
export function sample(other) {
  const config = { url: "https://x", content_type: "json", insecure_ssl: "0", secret: "********" };
  const hook = { type: "Organization", id: 1, name: "web", active: true, events: ["push"], config, created_at: "2026-01-01T00:00:00Z", updated_at: "2026-01-01T00:00:00Z" };
  const body = JSON.stringify({ zen: "Keep it logically awesome.", hook_id: 1, hook, ...other });
  const headers = {
    "user-agent": "GitHub-Hookshot/1", "content-type": "application/json", "x-github-event": "ping", "x-github-delivery": "1", "x-github-hook-id": "1",
    "x-github-hook-installation-target-id": "1", "x-github-hook-installation-target-type": "organization", "x-hub-signature-256": sign(SECRET, body),
  };
  return { headers, body, status: 202 };
}
