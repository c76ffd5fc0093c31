"""The client of Anthropic's Messages API, against a small server on this machine that speaks it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agentflow.domain.errors import ModelError
from agentflow.domain.message import Message, assistant, system, tool, user
from agentflow.llm.clients import VendorClient, client_for
from agentflow.llm.protocol import ModelRequest, ToolSchema, Usage


def answer(*content: dict[str, Any], stop_reason: str | None = "end_turn") -> dict[str, Any]:
    usage = {"input_tokens": 1000, "output_tokens": 200}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6"}
    return {**head, "content": list(content), "stop_reason": stop_reason, "stop_sequence": None, "usage": usage}


class Claude(ThreadingHTTPServer):
    """Answers with `body`, and keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ClaudeHandler)
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.status, self.headers = 200, {"content-type": "application/json"}
        self.body: Any = answer({"type": "text", "text": "hello"})


class ClaudeHandler(BaseHTTPRequestHandler):
    server: Claude
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, self.headers["authorization"], body))
        text = json.dumps(self.server.body).encode()
        self.send_response(self.server.status)
        for name, value in {**self.server.headers, "content-length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Claude]:
    with Claude() as claude:
        thread = threading.Thread(target=claude.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("ANTHROPIC_BASE_URL", f"http://127.0.0.1:{claude.server_port}")
        yield claude
        claude.shutdown()
        thread.join()


@pytest.fixture
def client(server: Claude) -> VendorClient:
    # A key per server: the process keeps a client per key, and each of these tests has a server of its own.
    return client_for("anthropic:claude-sonnet-4-6", api_key=f"key-{server.server_port}")


def request(*messages: Message, **more: Any) -> ModelRequest:
    return ModelRequest("anthropic:claude-sonnet-4-6", messages or (user("hi"),), timeout_s=10, **more)


def failure(client: VendorClient) -> ModelError:
    with pytest.raises(ModelError) as caught:
        client.complete(request())
    return caught.value


def test_the_conversation_arrives_in_anthropics_form(server: Claude, client: VendorClient) -> None:
    call: Any = {"id": "toolu_1", "name": "look", "arguments": '{"order": "4421", "cents": 500}'}
    parameters = {"type": "object", "properties": {"order": {"type": "string"}}}
    history = (system("Be kind."), user("hi"), assistant("Looking.", [call]), tool(call, '{"x": 1}'))
    look = ToolSchema("look", "Looks.", parameters)
    client.complete(request(*history, tools=[look], user="customer-7", settings={"max_tokens": 50, "top_k": 3}))
    path, key, body = server.asked[0]
    assert path.startswith("/v1/messages")
    assert key == f"Bearer key-{server.server_port}"
    assert body["system"] == "Be kind."
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"order": "4421", "cents": 500}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": '{"x": 1}'}]},
    ]
    assert body["tools"] == [{"name": "look", "description": "Looks.", "input_schema": parameters}]
    assert body["metadata"] == {"user_id": "customer-7"}
    assert (body["max_tokens"], body["top_k"], body["model"]) == (50, 3, "claude-sonnet-4-6")
    assert not body.get("stream")


def test_text_and_calls_come_back(server: Claude, client: VendorClient) -> None:
    look = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"order": "4421", "é": [1.5]}}
    server.body = answer(
        {"type": "text", "text": "One "}, {"type": "text", "text": "moment."}, look, stop_reason="tool_use"
    )
    found = client.complete(request())
    assert found.content == "One moment."
    assert list(found.tool_calls) == [{"id": "toolu_1", "name": "look", "arguments": '{"order": "4421", "é": [1.5]}'}]
    assert found.finish_reason == "tool_calls"


def test_a_plain_answer_has_its_usage_and_cost(client: VendorClient) -> None:
    found = client.complete(request())
    assert (found.content, found.finish_reason, found.usage) == ("hello", "stop", Usage(1000, 200))
    assert str(found.cost_usd) == "0.006"


def test_a_result_schema_is_sent_as_structured_output(server: Claude, client: VendorClient) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    client.complete(request(result_schema=schema))
    sent = server.asked[0][2]["output_config"]["format"]
    assert sent["type"] == "json_schema"
    assert sent["schema"]["properties"] == {"ok": {"type": "boolean"}}


@pytest.mark.parametrize(
    ("status", "error_type", "message", "kind"),
    [
        (400, "invalid_request_error", "prompt is too long: 300000 tokens", "context_overflow"),
        (400, "invalid_request_error", "Your credit balance is too low", "quota"),
        (400, "invalid_request_error", "messages: what?", "bad_input"),
        (401, "authentication_error", "invalid x-api-key", "auth"),
        (429, "rate_limit_error", "slow down", "rate_limited"),
        (500, "api_error", "oops", "transient"),
        (529, "overloaded_error", "Overloaded", "transient"),
    ],
)
def test_each_failure_has_its_kind_and_is_asked_once(
    server: Claude, client: VendorClient, status: int, error_type: str, message: str, kind: str
) -> None:
    server.status, server.body = status, {"type": "error", "error": {"type": error_type, "message": message}}
    server.headers["retry-after"] = "9"
    error = failure(client)
    assert (error.kind, error.status, error.retry_after_s) == (kind, status, 9)
    assert message in str(error)
    assert len(server.asked) == 1


def test_a_refusal_is_refused(server: Claude, client: VendorClient) -> None:
    server.body = answer(stop_reason="refusal")
    assert failure(client).kind == "refused"


@pytest.mark.parametrize("body", [answer(stop_reason=None), {}, [], "text", answer({"type": "tool_use"})])
def test_an_answer_that_breaks_off_is_malformed(server: Claude, client: VendorClient, body: Any) -> None:
    server.body = body
    assert failure(client).kind == "malformed"
