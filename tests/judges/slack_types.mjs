// Makes JSON Schemas of the types of Slack's own SDKs (@slack/types, @slack/web-api, @slack/bolt): node slack_types.mjs OUT

import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createGenerator } from "ts-json-schema-generator";
import { METHODS, typeOf } from "./slack_methods.mjs";

const [out] = process.argv.slice(2);

const OTHERS = ["Blocks", "SlashCommand", "Click", "ViewSubmitAction", "ViewClosedAction", "RespondArguments", "ViewResponseAction", "Manifest"];

const entry = join(mkdtempSync(join(process.cwd(), "types-")), "entry.ts");
// A generic type and a list need names of their own.
writeFileSync(entry, 'import type { BlockAction } from "@slack/bolt";\nimport type { KnownBlock } from "@slack/types";\nexport type Click = BlockAction;\nexport type Blocks = KnownBlock[];\n');
const generator = createGenerator({ path: entry, skipTypeCheck: true, expose: "export", jsDoc: "none", topRef: true, functions: "hide" });
const names = [...METHODS.flatMap((method) => [typeOf(method, "Arguments"), typeOf(method, "Response")]), ...OTHERS];
const schemas = Object.fromEntries(names.map((name) => [name, generator.createSchema(name)]));
// These two say "and any other member", which would let a wrong name pass.
for (const name of ["SlashCommand", "Manifest"]) schemas[name].definitions[name].additionalProperties = false;
// A union that something is omitted from: the generator takes all of its branches' members as required, none of which is.
delete schemas.RespondArguments.definitions.RespondArguments.required;
// An interface without members stands for what is anybody's (the payload of a message's metadata).
const isEmpty = (schema) => schema?.type === "object" && !schema.properties && schema.additionalProperties === false;
const open = (_, schema) => (isEmpty(schema) ? { ...schema, additionalProperties: true } : schema);
writeFileSync(out, JSON.stringify(JSON.parse(JSON.stringify(schemas), open)));
