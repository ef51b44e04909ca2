// GitHub's GraphQL schema (@octokit/graphql-schema) as a judge of questions and answers, by the reference implementation.

import { schema as github } from "@octokit/graphql-schema";
import { buildSchema, execute, parse, validate } from "graphql";

// GitHub publishes two fields of EnterpriseOwnerInfo twice, hence not validated as a schema.
const schema = buildSchema(github.idl, { assumeValid: true, assumeValidSDL: true });

/** What the bot asks, by `name`. */
export const EXPECTED = ["graphql mutation revertPullRequest", "graphql query repository.object"];

const questions = new Map();
const seen = new Set();

/** A question parsed, with what is wrong with it; each is judged once. */
function question(text) {
  if (!questions.has(text)) {
    const document = parse(text);
    questions.set(text, { document, complaints: validate(schema, document).map((error) => error.message) });
  }
  return questions.get(text);
}

/** `query repository.object`, `mutation revertPullRequest`: enough to tell the questions apart. */
function name({ definitions: [{ operation, selectionSet }] }) {
  const [first] = selectionSet.selections;
  const inner = operation === "query" ? first.selectionSet?.selections[0] : undefined;
  return [`graphql ${operation} ${first.name.value}`, inner?.name?.value].filter(Boolean).join(".");
}

/** Judges an exchange with `/graphql`. */
export function judge(verdicts, line) {
  const { query, variables } = JSON.parse(line.body);
  const { document, complaints } = question(query);
  const operation = name(document);
  verdicts.count(operation, "requests");
  for (const complaint of complaints) verdicts.find(line, `${operation}, request`, complaint);
  verdicts.count(operation, "answers");
  const key = `${line.body} ${line.status} ${line.answer}`;
  if (seen.has(key) || complaints.length > 0) return;
  seen.add(key);
  const answer = JSON.parse(line.answer);
  // An error of HTTP's (a fault, a rate limit) is REST's to describe; it still says what it is.
  const wrong = (message) => verdicts.find(line, `${operation}, answer ${line.status}`, message);
  if (line.status !== 200) return answer.message || answer.errors ? undefined : wrong("says nothing");
  for (const error of answer.errors ?? []) if (typeof error.message !== "string") wrong("has an error without a message");
  // The answer is given to the schema as its data: what comes out must be what went in.
  const resolve = (source, _, __, info) => source[info.path.key];
  // Where a union's kind was not asked for, it is the one that the question has fields for.
  const kind = (value, _, info) => value.__typename ?? info.fieldNodes[0].selectionSet.selections.find((one) => one.typeCondition)?.typeCondition.name.value;
  const data = answer.data ?? null;
  const run = execute({ schema, document, rootValue: data ?? {}, variableValues: variables, fieldResolver: resolve, typeResolver: kind });
  if (data === null && answer.errors?.length > 0) return;
  for (const error of run.errors ?? []) wrong(`${(error.path ?? []).join("/")} ${error.message}`);
  if (run.errors === undefined) compare(wrong, "/data", data, run.data);
}

function compare(wrong, at, given, known) {
  if (typeof given !== "object" || typeof known !== "object" || given === null || known === null) {
    if (given !== known) wrong(`${at} is ${JSON.stringify(given)}, should be ${JSON.stringify(known)}`);
    return;
  }
  for (const key of new Set([...Object.keys(given), ...Object.keys(known)])) {
    if (!(key in known)) wrong(`${at}/${key} was not asked for`);
    else if (!(key in given)) wrong(`${at}/${key} is missing`);
    else compare(wrong, `${at}/${key}`, given[key], known[key]);
  }
}
