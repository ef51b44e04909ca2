"""Slack's own SDK as an app in the pretend Slack: its client, its Socket Mode, its models. Settings come from the environment."""

import json
import os
import queue
import urllib.request

from slack_sdk import WebClient
from slack_sdk.models.blocks import ActionsBlock, ButtonElement, InputBlock, PlainTextInputElement, SectionBlock
from slack_sdk.models.views import View
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse

web = WebClient(token=os.environ["SLACK_BOT_TOKEN"], base_url=os.environ["SLACK_API_URL"] + "/")
socket = SocketModeClient(app_token=os.environ["SLACK_APP_TOKEN"], web_client=web)
heard, hellos = queue.Queue(), queue.Queue()


def act(**slack):
    """Does as a person does on the sandbox's page; the answer comes when the app has acknowledged."""
    body = json.dumps({"slack": slack}).encode()
    request = urllib.request.Request(f"{os.environ['PAGE']}/act", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        said = json.load(answer)
    assert said["ok"], said


def screen():
    with urllib.request.urlopen(f"{os.environ['PAGE']}/state?as=UANA", timeout=10) as answer:
        return json.load(answer)["slack"]


def on_message(message):
    frame = json.loads(message)
    if frame["type"] == "hello":
        hellos.put(frame)


def on_request(client, request):
    """Acknowledges a command with a text, a form with nothing, and a click only after having opened the form."""
    payload = request.payload
    answer = {"text": f"You said {payload['text']}"} if request.type == "slash_commands" else None
    if payload.get("type") == "block_actions":
        entry = InputBlock(block_id="why", label="Why", element=PlainTextInputElement(action_id="entry"))
        view = View(type="modal", callback_id="ask", title="Ask", submit="Send", blocks=[entry])
        web.views_open(trigger_id=payload["trigger_id"], view=view)
    client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id, payload=answer))
    heard.put(request)


def next_request(kind):
    request = heard.get(timeout=10)
    seen = request.payload.get("type", request.type)
    assert seen == kind, f"{seen} came, not {kind}"
    return request.payload


socket.on_message_listeners.append(on_message)
socket.socket_mode_request_listeners.append(on_request)
socket.connect()
hello = hellos.get(timeout=10)
assert hello["connection_info"]["app_id"] and hello["num_connections"] == 1, hello
assert web.auth_test()["user_id"].startswith("U")

act(do="command", user="UANA", channel="CDEPLOYS", text="status h")
command = next_request("slash_commands")
assert (command["command"], command["text"], command["user_id"]) == ("/deploy", "status h", "UANA"), command
assert "You said status h" in json.dumps(screen())

blocks = [SectionBlock(text="Ready?"), ActionsBlock(elements=[ButtonElement(text="Go", action_id="go", value="1")])]
posted = web.chat_postMessage(channel="CDEPLOYS", text="Ready?", blocks=blocks, unfurl_links=False, unfurl_media=False)
act(do="click", user="UANA", at={"kind": "message", "channel": "CDEPLOYS", "ts": posted["ts"]}, action_id="go")
click = next_request("block_actions")
assert click["actions"][0]["value"] == "1" and click["message"]["ts"] == posted["ts"], click

[view] = [one for one in screen()["views"]]
act(do="submit", user="UANA", view_id=view["id"], values={"why": {"entry": "because"}})
form = next_request("view_submission")
assert form["view"]["state"]["values"]["why"]["entry"]["value"] == "because", form

web.chat_update(channel="CDEPLOYS", ts=posted["ts"], text="Gone", blocks=[SectionBlock(text="Gone")])
history = web.conversations_history(channel="CDEPLOYS", limit=10)["messages"]
assert history[0]["text"] == "Gone", history
members = [name for page in web.conversations_list(limit=1) for name in [one["name"] for one in page["channels"]]]
assert "deploys" in members, members
socket.close()
print("Slack's SDK is content")
