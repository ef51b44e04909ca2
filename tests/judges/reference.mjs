// Judges by Slack's own reference, of which no package is published: node reference.mjs RECORD MANIFEST SLACK_DATA
// SLACK_DATA has manifest/ (slackapi/manifest-schema) and methods/ (docs.slack.dev, by slack-ruby/slack-api-ref).

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import formats from "ajv-formats";
import { parse } from "yaml";
import { Verdicts, lines, mustRefuse, worst } from "./record.mjs";
import { METHODS } from "./slack_methods.mjs";

const [folder, manifest, data] = process.argv.slice(2);
const read = (...path) => JSON.parse(readFileSync(join(data, ...path), "utf8"));

const ajv = new Ajv({ strict: false, allErrors: true, logger: false });
formats.default(ajv);
const schemas = { 1: ajv.compile(read("manifest", "manifest.schema.1.0.0.json")) };

function judgeManifest(verdicts, line) {
  verdicts.count("manifest.yml", "requests");
  const validate = schemas[line.manifest._metadata?.major_version];
  if (!validate) verdicts.find(line, "manifest.yml", "is of a version that is not judged here");
  else if (!validate(line.manifest)) verdicts.find(line, "manifest.yml", worst(validate.errors));
}

const methods = new Map(METHODS.filter((name) => existsSync(join(data, "methods", `${name}.json`))).map((name) => [name, read("methods", `${name}.json`)]));

/** A call by how the method is to be called: with which arguments, and whether with JSON. */
function judgeCall(verdicts, line) {
  const url = new URL(line.target, "http://slack");
  const name = url.pathname.replace("/api/", "");
  const method = methods.get(name);
  if (!method) return;
  verdicts.count(name, "requests");
  const wrong = (message) => verdicts.find(line, `${name}, request`, message);
  const isJson = (line.headers["content-type"] ?? "").startsWith("application/json");
  if (isJson && line.body && line.body !== "{}" && !method.json_input_supported) wrong("is JSON, which the method does not take");
  if (line.method === "GET" && method.http_method !== "GET") wrong(`is a GET, and should be a ${method.http_method}`);
  const body = isJson ? JSON.parse(line.body || "{}") : Object.fromEntries(new URLSearchParams(line.body));
  const given = Object.keys({ ...Object.fromEntries(url.searchParams), ...body });
  const { properties, required = [] } = method.args;
  for (const key of given) if (!properties[key]) wrong(`/${key} is no argument`);
  // The token is in the header.
  for (const key of required) if (key !== "token" && !given.includes(key)) wrong(`/${key} is missing`);
}

const app = parse(readFileSync(manifest, "utf8"));
mustRefuse("the manifest", judgeManifest, { manifest: app }, { manifest: { ...app, settings: { ...app.settings, socket_mode: true } } });
const call = (argument) => ({ method: "POST", target: `/api/users.info?${argument}=U1`, headers: {}, body: "" });
mustRefuse("calls", judgeCall, call("user"), call("usr"));

const verdicts = new Verdicts();
judgeManifest(verdicts, { story: "manifest.yml", place: "manifest.yml", manifest: app });
for (const line of lines(folder)) if (line.service === "slack") judgeCall(verdicts, line);
process.exit(verdicts.report("Slack (its manifest's schema, its methods' reference)", ["manifest.yml", ...methods.keys()]) ? 0 : 1);
