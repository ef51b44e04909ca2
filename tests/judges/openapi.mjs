// GitHub's OpenAPI description (@octokit/openapi) as a judge of requests and answers.

import { read } from "./described.mjs";
import { worst } from "./record.mjs";

const { description, deref, typed, validator } = read("@octokit/openapi");

/** What the bot asks of GitHub's REST API. */
export const EXPECTED = [
  "GET /orgs/{org}/teams/{team_slug}/memberships/{username}",
  "GET /repos/{owner}/{repo}",
  "GET /repos/{owner}/{repo}/actions/runs/{run_id}",
  "GET /repos/{owner}/{repo}/actions/runs/{run_id}/approvals",
  "GET /repos/{owner}/{repo}/actions/runs/{run_id}/jobs",
  "GET /repos/{owner}/{repo}/actions/runs/{run_id}/pending_deployments",
  "GET /repos/{owner}/{repo}/actions/workflows/{workflow_id}/runs",
  "GET /repos/{owner}/{repo}/check-runs/{check_run_id}/annotations",
  "GET /repos/{owner}/{repo}/compare/{basehead}",
  "GET /repos/{owner}/{repo}/contents/{path}",
  "GET /repos/{owner}/{repo}/environments",
  "GET /repos/{owner}/{repo}/git/ref/{ref}",
  "GET /repos/{owner}/{repo}/pulls",
  "GET /repos/{owner}/{repo}/pulls/{pull_number}",
  "GET /user",
  "POST /repos/{owner}/{repo}/actions/runs/{run_id}/cancel",
  "POST /repos/{owner}/{repo}/actions/runs/{run_id}/pending_deployments",
  "POST /repos/{owner}/{repo}/actions/runs/{run_id}/rerun-failed-jobs",
  "POST /repos/{owner}/{repo}/actions/workflows/{workflow_id}/dispatches",
  "POST /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers",
  "POST /repos/{owner}/{repo}/statuses/{sha}",
  // Not here: GET /repos/{owner}/{repo}/commits/{commit_sha}/pulls. It is asked only where GraphQL's history lacks a commit, which
  // the sandbox's never does; src/github/changes/tests.rs has it.
];

// Where the description says less than GitHub does. There are four such exceptions, and no others:
// 1. These may come in answer to any request (a token, a limit, GitHub itself), and are described with few operations.
const ANYWHERE = [401, 403, 404, 429, 500, 502, 503, 504];
// 2. An error has a body, also where the description gives it none.
const ERROR = { "application/json": { schema: { $ref: "#/components/schemas/basic-error" } } };
// 3. A review of what nobody waits for any more is refused so: GitHub is known for it, and does not describe it.
const ALSO = { "POST /repos/{owner}/{repo}/actions/runs/{run_id}/pending_deployments": [422] };
// 4. Conditional requests are answered with 304 wherever there is a GET (judgeAnswer).

const methods = ["get", "put", "post", "delete", "patch"];
const routes = Object.entries(description.paths).flatMap(([template, item]) =>
  methods.filter((method) => item[method]).map((method) => {
    const parameters = [...(item.parameters ?? []), ...(item[method].parameters ?? [])].map(deref);
    const wide = (name) => parameters.some((one) => one.name === name && one["x-multi-segment"]);
    const names = [...template.matchAll(/{(.+?)}/g)].map((match) => match[1]);
    const pattern = template.replaceAll(/[.+]/g, "\\$&").replaceAll(/{(.+?)}/g, (_, name) => (wide(name) ? "(.+)" : "([^/]+)"));
    return { template, method, names, parameters, operation: item[method], pattern: new RegExp(`^${pattern}$`) };
  }),
);

const known = new Map();

/** The operation that a request is of: the one with the fewest parameters that fits. */
function operation(method, path) {
  const key = `${method} ${path}`;
  if (!known.has(key)) {
    const fits = routes.filter((one) => one.method === method.toLowerCase() && one.pattern.test(path));
    known.set(key, fits.sort((a, b) => a.names.length - b.names.length || b.template.length - a.template.length)[0]);
  }
  return known.get(key);
}

/** The operation that a request is of, and its parameters by name. */
function route(line) {
  const url = new URL(line.target, "http://github");
  const found = operation(line.method, url.pathname);
  if (!found) return undefined;
  const values = found.pattern.exec(url.pathname).slice(1);
  const given = found.names.map((name, index) => ["path", name, decodeURIComponent(values[index])]);
  return { ...found, given: [...given, ...[...url.searchParams].map(([name, value]) => ["query", name, value])] };
}

const name = ({ method, template }) => `${method.toUpperCase()} ${template}`;

/** Judges an exchange with GitHub's REST API. */
export function judge(verdicts, line) {
  const found = route(line);
  if (!found) return verdicts.find(line, `${line.method} ${line.target}`, "is no operation of GitHub's");
  verdicts.count(name(found), "requests");
  judgeRequest(verdicts, line, found);
  verdicts.count(name(found), "answers");
  judgeAnswer(verdicts, line, found);
}

function judgeRequest(verdicts, line, found) {
  const wrong = (message) => verdicts.find(line, `${name(found)}, request`, message);
  if (!line.headers["user-agent"]) wrong("has no User-Agent");
  if (line.headers.accept !== "application/vnd.github+json") wrong(`accepts ${line.headers.accept}`);
  for (const [where, key, text] of found.given) {
    const known = found.parameters.find((one) => one.in === where && one.name === key);
    if (!known) wrong(`has an unknown ${where} parameter ${key}`);
    else if (!validator(known.schema)(typed(known.schema, text))) wrong(`${where} parameter ${key}: ${worst(validator(known.schema).errors)}`);
  }
  for (const { in: where, name: key } of found.parameters.filter((one) => one.required)) {
    if (!found.given.some(([w, k]) => w === where && k === key)) wrong(`lacks the ${where} parameter ${key}`);
  }
  const wanted = deref(found.operation.requestBody);
  if (!line.body) {
    if (wanted?.required) wrong("lacks a body");
    return;
  }
  if (!wanted) return wrong("has a body, and the operation takes none");
  const content = (line.headers["content-type"] ?? "none").split(";")[0];
  if (!wanted.content[content]) return wrong(`has the content type ${content}`);
  const { schema } = wanted.content[content];
  if (!validator(schema)(JSON.parse(line.body))) wrong(`body: ${worst(validator(schema).errors)}`);
}

const seen = new Set();

function judgeAnswer(verdicts, line, found) {
  const key = `${name(found)} ${line.status} ${line.answer}`;
  if (seen.has(key)) return;
  seen.add(key);
  const wrong = (message) => verdicts.find(line, `${name(found)}, answer ${line.status}`, message);
  if (line.status === 304) {
    if (line.answer || !line.headers["if-none-match"]) wrong("is not the answer to a conditional request");
    return;
  }
  const described = deref(found.operation.responses[line.status]);
  const anyway = [...ANYWHERE, ...(ALSO[name(found)] ?? [])];
  if (!described && !anyway.includes(line.status)) return wrong("is a status that the operation has not");
  for (const [key, header] of Object.entries(described?.headers ?? {})) {
    const { required, schema } = deref(header);
    const text = line.answer_headers[key.toLowerCase()];
    if (text === undefined ? required : !validator(schema)(typed(schema, text))) wrong(`header ${key} is ${text}`);
  }
  const content = described?.content ?? (line.status >= 400 ? ERROR : undefined);
  if (!content) {
    if (line.answer) wrong("has a body, and should have none");
    return;
  }
  let answer;
  try {
    answer = JSON.parse(line.answer);
  } catch {
    return wrong("is no JSON");
  }
  const { schema } = content["application/json"] ?? Object.values(content)[0];
  if (!validator(schema)(answer)) wrong(worst(validator(schema).errors));
}
