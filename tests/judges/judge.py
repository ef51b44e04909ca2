"""Judges a record by Slack's Python SDK and by botocore: python3 judge.py RECORD

What the bot sends to Slack is read by slack_sdk's models, which know Slack's limits, and its calls by slack_sdk's client. What it
asks of Elastic Beanstalk, and what the pretend one answers, is held against botocore's model of the service.
"""

import collections
import datetime
import inspect
import json
import pathlib
import re
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree

import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize
import botocore.validate
from slack_sdk import WebClient, WebhookClient
from slack_sdk.models.blocks import Block
from slack_sdk.models.metadata import Metadata
from slack_sdk.models.views import View
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

SERVICE = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("elasticbeanstalk", "service-2"), "elasticbeanstalk")
SERIALIZER = botocore.serialize.create_serializer("query")
PARSER = botocore.parsers.create_parser("query")

# What the bot asks of Elastic Beanstalk.
ACTIONS = [
    "DescribeConfigurationSettings",
    "DescribeEnvironmentHealth",
    "DescribeEnvironments",
    "DescribeEvents",
    "DescribeInstancesHealth",
    "UpdateEnvironment",
    "ValidateConfigurationSettings",
]
# What the bot sends to Slack that a model of slack_sdk's reads.
MODELS = ["ack, message", "chat.postEphemeral", "chat.postMessage", "chat.update", "response_url", "views.open", "views.update"]
FRAMES = ["envelope", "ack"]

# Errors of AWS's own that every service may answer, so no operation lists them (docs: CommonErrors).
COMMON_ERRORS = {
    "AccessDenied": 403,
    "ExpiredToken": 403,
    "InternalFailure": 500,
    "InvalidAction": 400,
    "InvalidParameterValue": 400,
    "InvalidRequestException": 400,
    "MissingAuthenticationToken": 400,
    "MissingParameter": 400,
    "Throttling": 400,
}


class Verdicts:
    """What was judged, and what was found wrong; the same fault is told once."""

    def __init__(self):
        self.counts = collections.defaultdict(lambda: [0, 0])
        self.findings = {}

    def find(self, line, what, message):
        key = re.sub(r"/\d+(?=/|:| )", "/*", f"{what}: {message}")
        found = self.findings.setdefault(key, [line["place"], line["story"], f"{what}: {message}", 0])
        found[3] += 1

    def report(self, title, expected):
        names = sorted({*self.counts, *expected})
        width = max(len(name) for name in [*names, title])
        print(f"\n{title:{width}}  requests   answers")
        for name in names:
            requests, answers = self.counts[name]
            print(f"{name:{width}}  {requests:8}  {answers:8}")
            if requests + answers == 0:
                self.find({"place": "", "story": "the whole record"}, name, "was never seen")
            if name not in expected:
                self.find({"place": "", "story": "the whole record"}, name, "is in no list of what the bot uses: add it to the judge's")
        for place, story, message, times in self.findings.values():
            print(f"WRONG {message}\n      {times}x, first in {story} ({place})")
        return not self.findings


def lines(folder):
    for path in sorted(pathlib.Path(folder).glob("*.jsonl")):
        story = "::".join(path.name.split(".")[:-3])
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                # Most lines are GitHub's, which are not judged here.
                if '"service":"github"' not in text:
                    yield {**json.loads(text), "story": story, "place": f"{path.name}:{number}"}


# Slack


def differences(given, read, at=""):
    """Where a model reads something else than what it was given: what it does not know, it drops."""
    if isinstance(given, dict) and isinstance(read, dict):
        for key in sorted({*given, *read}):
            if key not in read:
                yield f"{at}/{key} is unknown to slack_sdk"
            elif key in given:
                yield from differences(given[key], read[key], f"{at}/{key}")
    elif isinstance(given, list) and isinstance(read, list):
        for index, (one, other) in enumerate(zip(given, read, strict=True)):
            yield from differences(one, other, f"{at}/{index}")
    elif given != read:
        yield f"{at} is {given!r}, read as {read!r}"


def read_blocks(blocks, at):
    for index, block in enumerate(blocks or []):
        parsed = Block.parse(block)
        if parsed is None:
            yield f"{at}/{index} is no block"
            continue
        try:
            yield from differences(block, json.loads(json.dumps(parsed.to_dict())), f"{at}/{index}")
        except Exception as error:  # the model's own complaint: over-long, too many, missing
            yield f"{at}/{index} {error}"


def read_view(view, at):
    yield from read_blocks(view.get("blocks"), f"{at}/blocks")
    try:
        parsed = View(**view)
        yield from differences({key: value for key, value in view.items() if key != "blocks"}, json.loads(json.dumps(parsed.to_dict())), at)
    except Exception as error:
        yield f"{at} {error}"


def read_metadata(metadata, at):
    yield from differences(metadata, Metadata(**metadata).to_dict(), at)


def judge_message(verdicts, line, what, body):
    """A message, or a form, with all that is in it."""
    verdicts.counts[what][0] += 1
    wrongs = list(read_blocks(body.get("blocks"), "/blocks"))
    if "metadata" in body:
        wrongs += read_metadata(body["metadata"], "/metadata")
    if "view" in body:
        wrongs += read_view(body["view"], "/view")
    for wrong in wrongs:
        verdicts.find(line, what, wrong)


def judge_slack(verdicts, line):
    path = urllib.parse.urlsplit(line["target"]).path
    if not path.startswith("/api/"):
        body = json.loads(line["body"])
        known = inspect.signature(WebhookClient.send).parameters
        for name in body.keys() - known.keys() - {"thread_ts"}:  # thread_ts: @slack/bolt has it, the Python SDK does not
            verdicts.find(line, "response_url", f"/{name} is unknown to slack_sdk")
        judge_message(verdicts, line, "response_url", body)
        return
    method = path.removeprefix("/api/")
    known = inspect.signature(getattr(WebClient, method.replace(".", "_"))).parameters
    if line["headers"].get("content-type", "").startswith("application/json"):
        body = json.loads(line["body"] or "{}")
    else:
        body = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(line["target"]).query + "&" + line["body"]))
    for name in body.keys() - known.keys():
        verdicts.find(line, method, f"/{name} is unknown to slack_sdk")
    if method in MODELS:
        judge_message(verdicts, line, method, body)


def judge_frame(verdicts, line):
    frame = json.loads(line["frame"])
    if line["from"] == "slack":
        if "envelope_id" in frame:
            verdicts.counts["envelope"][0] += 1
            read = SocketModeRequest.from_dict(frame)
            if read is None:
                verdicts.find(line, "envelope", "is none to slack_sdk")
                return
            # The Python SDK has no use for accepts_response_payload.
            for wrong in differences({**frame, "accepts_response_payload": None}, {**read.to_dict(), "accepts_response_payload": None}):
                verdicts.find(line, "envelope", wrong)
        return
    verdicts.counts["ack"][1] += 1
    for wrong in differences(frame, json.loads(json.dumps(SocketModeResponse(**frame).to_dict()))):
        verdicts.find(line, "ack", wrong)
    payload = frame.get("payload") or {}
    if "view" in payload:
        judge_message(verdicts, line, "ack, view", payload)
    elif payload and "errors" not in payload:
        judge_message(verdicts, line, "ack, message", payload)


# Elastic Beanstalk


def structured(shape, fields, at=""):
    """The members of a query's fields by a shape of botocore's (`EnvironmentNames.member.1`)."""
    if shape.type_name == "structure":
        out, names = {}, {name.split(".")[0] for name in fields}
        for name in names:
            if name not in shape.members:
                raise ValueError(f"{at}/{name} is unknown to botocore")
            inner = {key[len(name) + 1 :]: value for key, value in fields.items() if key.split(".")[0] == name}
            out[name] = structured(shape.members[name], inner, f"{at}/{name}")
        return out
    if shape.type_name == "list":
        if fields == {"": ""}:
            return []
        numbers = sorted({int(key.split(".")[1]) for key in fields})
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"{at} is numbered {numbers}")
        inner = lambda number: {".".join(key.split(".")[2:]): value for key, value in fields.items() if int(key.split(".")[1]) == number}
        return [structured(shape.member, inner(number), f"{at}/{number}") for number in numbers]
    [text] = fields.values()
    return scalar(shape, text, at)


# The model calls it a health; it is Ready or Updating, as the service's own documentation says beside it and shows.
OTHERWISE = {"DescribeEnvironmentHealth/Status": SERVICE.shape_for("EnvironmentStatus")}


def scalar(shape, text, at):
    """A text as a value of its shape's type."""
    shape = OTHERWISE.get(at, shape)
    if getattr(shape, "enum", None) and text not in shape.enum:
        raise ValueError(f"{at} is {text!r}, not one of {shape.enum}")
    match shape.type_name:
        case "boolean":
            if text not in ("true", "false"):
                raise ValueError(f"{at} is {text!r}, no boolean")
            return text == "true"
        case "integer" | "long":
            return int(text)
        case "float" | "double":
            return float(text)
        case "timestamp":
            return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        case _:
            return text


def check_xml(shape, element, at=""):
    """What in an answer its shape does not have."""
    match shape.type_name:
        case "structure":
            for child in element:
                name = child.tag.split("}")[-1]
                if name not in shape.members:
                    raise ValueError(f"{at}/{name} is unknown to botocore")
                check_xml(shape.members[name], child, f"{at}/{name}")
            tags = [child.tag for child in element]
            if len(tags) != len(set(tags)):
                raise ValueError(f"{at} has a member twice")
            for name in shape.required_members:
                if not any(child.tag.split("}")[-1] == name for child in element):
                    raise ValueError(f"{at}/{name} is missing")
        case "list":
            for index, child in enumerate(element):
                if child.tag.split("}")[-1] != "member":
                    raise ValueError(f"{at} has {child.tag} among its members")
                check_xml(shape.member, child, f"{at}/{index}")
        case _:
            if len(element):
                raise ValueError(f"{at} has members, and is a {shape.type_name}")
            scalar(shape, element.text or "", at)


seen = set()


def judge_beanstalk(verdicts, line):
    fields = dict(urllib.parse.parse_qsl(line["body"], keep_blank_values=True))
    action = fields.pop("Action", "none")
    if action not in SERVICE.operation_names:
        verdicts.find(line, action, "is no action of Elastic Beanstalk's")
        return
    operation = SERVICE.operation_model(action)
    verdicts.counts[action][0] += 1
    try:
        if fields.pop("Version", "") != SERVICE.api_version:
            raise ValueError("/Version is another")
        request = structured(operation.input_shape, fields)
        complaints = botocore.validate.ParamValidator().validate(request, operation.input_shape)
        if complaints.has_errors():
            raise ValueError(complaints.generate_report())
        again = SERIALIZER.serialize_to_request(request, operation)["body"]
        if {**fields, "Action": action, "Version": SERVICE.api_version} != {key: str(value) for key, value in again.items()}:
            raise ValueError(f"is written otherwise by botocore: {again}")
    except Exception as error:
        verdicts.find(line, f"{action}, request", str(error))
    verdicts.counts[action][1] += 1
    key = (action, line["status"], re.sub("<(RequestId|RefreshedAt)>.*?<", "", line["answer"]))
    if key in seen:
        return
    seen.add(key)
    try:
        judge_xml(operation, line)
    except Exception as error:
        verdicts.find(line, f"{action}, answer {line['status']}", str(error))


def judge_xml(operation, line):
    if not line["answer_headers"].get("content-type", "").startswith("text/xml"):
        raise ValueError("is not text/xml")
    response = {"status_code": line["status"], "headers": line["answer_headers"], "body": line["answer"].encode()}
    read = PARSER.parse(response, operation.output_shape)
    if line["status"] >= 300:
        code = read["Error"]["Code"]
        modelled = {shape.error_code: shape.metadata.get("error", {}).get("httpStatusCode") for shape in operation.error_shapes}
        status = {**COMMON_ERRORS, **modelled}.get(code)
        if status != line["status"]:
            raise ValueError(f"/Error/Code {code} comes with {status}")
        if not read["Error"].get("Message") or not read["ResponseMetadata"].get("RequestId"):
            raise ValueError("/Error/Message or /RequestId is missing")
        return
    root = ElementTree.fromstring(line["answer"])
    result, metadata = list(root)
    names = [element.tag for element in (root, result, metadata)]
    space = f"{{{SERVICE.metadata['xmlNamespace']}}}"
    expected = [f"{space}{operation.name}Response", f"{space}{operation.output_shape.serialization['resultWrapper']}", f"{space}ResponseMetadata"]
    if names != expected:
        raise ValueError(f"/ is made of {names}")
    check_xml(operation.output_shape, result, operation.name)
    if not read["ResponseMetadata"].get("RequestId"):
        raise ValueError("/ResponseMetadata/RequestId is missing")


# A judge that validates nothing is worse than none.


def must_refuse(name, judge, good, bad):
    for sample, wanted in [(good, False), (bad, True)]:
        verdicts = Verdicts()
        judge(verdicts, {"story": "self-test", "place": "self-test", **sample})
        if bool(verdicts.findings) != wanted:
            sys.exit(f"the judge of {name} {'passes a bad' if wanted else 'refuses a good'} sample: {verdicts.findings}")


def self_test():
    def said(text):
        blocks = [{"type": "header", "text": {"type": "plain_text", "text": text}}]
        return {"target": "/api/chat.postMessage", "headers": {"content-type": "application/json"}, "body": json.dumps({"channel": "C1", "blocks": blocks})}

    must_refuse("slack_sdk's messages", judge_slack, said("short"), said("long" * 100))
    call = {"target": "/api/users.info?user=U1", "headers": {}, "body": ""}
    must_refuse("slack_sdk's calls", judge_slack, call, {**call, "target": "/api/users.info?usr=U1"})

    def frame(payload):
        return {"from": "app", "frame": json.dumps({"envelope_id": "1", "payload": payload})}

    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "hi"}}]
    must_refuse("slack_sdk's acks", judge_frame, frame({"blocks": blocks}), frame({"blocks": [{**blocks[0], "txt": "hi"}]}))

    def answer(health):
        xml = (
            '<DescribeEnvironmentsResponse xmlns="http://elasticbeanstalk.amazonaws.com/docs/2010-12-01/"><DescribeEnvironmentsResult>'
            f"<Environments><member><Health>{health}</Health></member></Environments></DescribeEnvironmentsResult>"
            "<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></DescribeEnvironmentsResponse>"
        )
        body = "Action=DescribeEnvironments&Version=2010-12-01&EnvironmentNames.member.1=h-prod"
        return {"body": body, "status": 200, "answer": xml, "answer_headers": {"content-type": "text/xml"}}

    must_refuse("botocore's answers", judge_beanstalk, answer("Green"), answer("Greenish"))
    good = answer("Green")
    must_refuse("botocore's requests", judge_beanstalk, good, {**good, "body": good["body"].replace("Names.member", "Name.member")})


def main(folder):
    self_test()
    slack, beanstalk = Verdicts(), Verdicts()
    for line in lines(folder):
        if line["service"] == "slack":
            judge_slack(slack, line)
        elif line["service"] == "socket":
            judge_frame(slack, line)
        elif line["service"].startswith("beanstalk"):
            judge_beanstalk(beanstalk, line)
    well = [slack.report("Slack (slack_sdk)", [*MODELS, *FRAMES]), beanstalk.report("Elastic Beanstalk (botocore)", ACTIONS)]
    sys.exit(0 if all(well) else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
