"""The client of OpenAI's protocol, against a real server on this machine that answers what a test tells it to."""

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

import pytest

from agentflow.domain.errors import ModelError
from agentflow.domain.message import Message, assistant, system, tool, user
from agentflow.llm.clients import VendorClient, client_for
from agentflow.llm.protocol import ModelRequest, ToolSchema, Usage

MESSAGE: dict[str, Any] = {"role": "assistant", "content": "hello"}


def completion(message: dict[str, Any] = MESSAGE, finish_reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    return {**head, "choices": [choice], "usage": usage, **more}


def refusal(code: str | None, message: str = "No.") -> dict[str, Any]:
    return {"error": {"message": message, "type": "error", "param": None, "code": code}}


class Canned(ThreadingHTTPServer):
    """Answers every request with what `reply` says, and keeps the bodies that it was sent."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), CannedHandler)
        self.bodies: list[dict[str, Any]] = []
        self.status, self.headers, self.body = 200, {}, json.dumps(completion())
        self.echo: Callable[[dict[str, Any]], dict[str, Any]] | None = None
        self.keys: list[str] = []
        self.hangs, self.hung_up, self.cuts = threading.Event(), threading.Event(), False

    def reply(self, body: Any, status: int = 200, **headers: str) -> None:
        self.body = body if isinstance(body, str) else json.dumps(body)
        self.status, self.headers = status, headers


class CannedHandler(BaseHTTPRequestHandler):
    server: Canned
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(asked)
        self.server.keys.append(self.headers["authorization"])
        text = json.dumps(self.server.echo(asked)) if self.server.echo else self.server.body
        self.send_response(self.server.status)
        for name, value in {"content-type": "application/json", **self.server.headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(text.encode()) + (10 if self.server.cuts else 0)))
        self.end_headers()
        self.close_connection = self.server.cuts
        if self.server.hangs.is_set():
            self.connection.recv(1)
            self.server.hung_up.set()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Canned]:
    with Canned() as canned:
        thread = threading.Thread(target=canned.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield canned
        canned.shutdown()
        thread.join()


@pytest.fixture
def client(server: Canned) -> VendorClient:
    return client_for("openai:gpt-4o-mini", base_url=f"http://127.0.0.1:{server.server_port}/v1")


def request(*messages: Message, timeout_s: float = 10.0, **more: Any) -> ModelRequest:
    return ModelRequest("openai:gpt-4o-mini", messages or (user("hi"),), timeout_s=timeout_s, **more)


def failure(client: VendorClient, **more: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        client.complete(request(**more))
    return caught.value


def test_messages_arrive_letter_for_letter(server: Canned, client: VendorClient) -> None:
    first: Any = {"id": "call_1", "name": "look", "arguments": '{ "b":1, "a" : 1.50,\n"b":2 }'}
    again: Any = {"id": "call_1", "name": "look", "arguments": "{not json \\u00e9"}
    nameless: Any = {"id": "", "name": "look", "arguments": ""}
    client.complete(
        request(
            system("Be kind.\n"),
            user(""),
            assistant(None, [first]),
            tool(first, '{"x": 1}'),
            assistant("Beside a call.", [again, nameless]),
            tool(again, ""),
            tool(nameless, "\x00 \u2028 🎈"),
            assistant(""),
            user("<|im_start|> é"),
        )
    )
    calls = [
        {"id": each["id"], "type": "function", "function": {"name": "look", "arguments": each["arguments"]}}
        for each in (first, again, nameless)
    ]
    assert server.bodies[0]["messages"] == [
        {"role": "system", "content": "Be kind.\n"},
        {"role": "user", "content": ""},
        {"role": "assistant", "content": None, "tool_calls": calls[:1]},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"x": 1}'},
        {"role": "assistant", "content": "Beside a call.", "tool_calls": calls[1:]},
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
        {"role": "tool", "tool_call_id": "", "content": "\x00 \u2028 🎈"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "<|im_start|> é"},
    ]


def test_user_tools_settings_and_schema_arrive(server: Canned, client: VendorClient) -> None:
    parameters = {"type": "object", "properties": {"id": {"title": "Id", "type": "integer", "default": 3}}}
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    settings = {"max_tokens": 7, "temperature": 0.5, "seed": 4, "tool_choice": "required"}
    look = ToolSchema("look", "Looks.", parameters)
    client.complete(request(tools=[look], user="customer-7", settings=settings, result_schema=schema))
    body = server.bodies[0]
    assert body["model"] == "gpt-4o-mini"
    assert body["user"] == "customer-7"
    assert settings.items() <= body.items()
    function = {"name": "look", "description": "Looks.", "parameters": parameters}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"]["schema"]["properties"] == schema["properties"]


@pytest.mark.parametrize("content", ["hello", None, "", "<think>hm</think> yes"])
def test_answer_comes_back_letter_for_letter(server: Canned, client: VendorClient, content: str | None) -> None:
    function = {"name": "look", "arguments": '{ "a": 1.50, '}
    calls = [{"id": "same", "type": "function", "function": function}] * 2
    server.reply(completion({"role": "assistant", "content": content, "tool_calls": calls}, "tool_calls"))
    answer = client.complete(request())
    assert answer.content == content
    assert list(answer.tool_calls) == [{"id": "same", **function}] * 2
    assert answer.finish_reason == "tool_calls"


def test_missing_call_ids_are_numbered(server: Canned, client: VendorClient) -> None:
    calls = [{"type": "function", "function": {"name": "look", "arguments": "{}"}}] * 2
    server.reply(completion({"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"))
    assert [call["id"] for call in client.complete(request()).tool_calls] == ["call_0", "call_1"]


def test_usage_and_cost_are_the_providers(client: VendorClient) -> None:
    answer = client.complete(request())
    assert answer.usage == Usage(1000, 200)
    assert answer.model == "gpt-4o-mini-2024-07-18"
    assert str(answer.cost_usd) == "0.00027"


def test_usage_is_estimated_where_the_provider_is_silent(server: Canned, client: VendorClient) -> None:
    server.reply(completion(usage=None))
    assert client.complete(request(user("x" * 40))).usage == Usage(10, 2)


FAILURES = [
    pytest.param(400, "invalid_request", "bad_input", id="400"),
    pytest.param(400, "context_length_exceeded", "context_overflow", id="context overflow"),
    pytest.param(400, "content_filter", "refused", id="content filter"),
    pytest.param(401, "invalid_api_key", "auth", id="401"),
    pytest.param(402, None, "quota", id="402"),
    pytest.param(403, None, "auth", id="403"),
    pytest.param(404, "model_not_found", "bad_input", id="404"),
    pytest.param(408, None, "transient", id="408"),
    pytest.param(409, None, "bad_input", id="409"),
    pytest.param(413, None, "bad_input", id="413"),
    pytest.param(422, None, "bad_input", id="422"),
    pytest.param(425, None, "transient", id="425"),
    pytest.param(429, "rate_limit_exceeded", "rate_limited", id="429"),
    pytest.param(429, "insufficient_quota", "quota", id="out of quota"),
    pytest.param(500, None, "transient", id="500"),
    pytest.param(503, None, "transient", id="503"),
    pytest.param(529, "overloaded", "transient", id="529"),
]


@pytest.mark.parametrize(("status", "code", "kind"), FAILURES)
def test_each_status_has_its_kind_and_is_asked_once(
    server: Canned, client: VendorClient, status: int, code: str | None, kind: str
) -> None:
    server.reply(refusal(code, "The words of the provider."), status)
    error = failure(client)
    assert (error.kind, error.status) == (kind, status)
    assert "The words of the provider." in str(error)
    assert len(server.bodies) == 1


def test_retry_after_is_read_as_seconds_or_date(server: Canned, client: VendorClient) -> None:
    server.reply(refusal(None), 429, retry_after="7")
    assert failure(client).retry_after_s == 7
    server.reply(
        refusal(None), 503, retry_after=format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    )
    assert 90 < (failure(client).retry_after_s or 0) <= 100


def test_an_error_without_json_has_its_status_all_the_same(server: Canned, client: VendorClient) -> None:
    server.reply("<html>Bad gateway</html>", 502, content_type="text/html")
    error = failure(client)
    assert (error.kind, error.status) == ("transient", 502)


MALFORMED = [
    pytest.param("", id="empty"),
    pytest.param('{"id": "c", "choi', id="cut short"),
    pytest.param("[]", id="a list"),
    pytest.param("null", id="null"),
    pytest.param({}, id="an empty object"),
    pytest.param(completion(choices=[]), id="no choices"),
    pytest.param(completion(choices=None), id="null choices"),
    pytest.param(completion(choices=[{"index": 0, "finish_reason": "stop"}]), id="no message"),
    pytest.param(completion(finish_reason=None), id="no finish reason"),
    pytest.param(completion(finish_reason=""), id="empty finish reason"),
    pytest.param(completion({**MESSAGE, "content": {"a": 1}}), id="content of a wrong type"),
    pytest.param(completion({**MESSAGE, "tool_calls": [{"id": "a", "type": "function"}]}), id="call without function"),
]


@pytest.mark.parametrize("body", MALFORMED)
def test_an_answer_that_cannot_be_read_is_malformed(server: Canned, client: VendorClient, body: Any) -> None:
    server.reply(body)
    assert failure(client).kind == "malformed"


def test_text_in_place_of_json_is_malformed(server: Canned, client: VendorClient) -> None:
    server.reply("Welcome to the proxy", content_type="text/plain")
    assert failure(client).kind == "malformed"


def test_a_connection_cut_in_the_answer_is_transient(server: Canned, client: VendorClient) -> None:
    server.cuts = True
    assert failure(client).kind == "transient"


def test_a_refusal_in_the_answer_is_refused(server: Canned, client: VendorClient) -> None:
    server.reply(completion({**MESSAGE, "content": None, "refusal": "I can't help with that."}))
    error = failure(client)
    assert error.kind == "refused"
    assert "I can't help with that." in str(error)


def test_a_filtered_answer_is_refused(server: Canned, client: VendorClient) -> None:
    server.reply(completion(finish_reason="content_filter"))
    assert failure(client).kind == "refused"


def test_a_server_that_hangs_is_a_timeout_on_time(server: Canned, client: VendorClient) -> None:
    client.connect()
    server.hangs.set()
    began = monotonic()
    assert failure(client, timeout_s=0.3).kind == "timeout"
    assert monotonic() - began < 2


def test_nobody_listening_is_transient() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert failure(client_for("openai:m", base_url=f"http://127.0.0.1:{port}/v1")).kind == "transient"


def test_what_has_no_utf8_is_bad_input(client: VendorClient) -> None:
    with pytest.raises(ModelError) as caught:
        client.complete(request(user("\ud800")))
    assert caught.value.kind == "bad_input"


def echo(asked: dict[str, Any]) -> dict[str, Any]:
    return completion({"role": "assistant", "content": f"{asked['user']}: {asked['messages'][0]['content']}"})


def test_many_threads_each_get_their_own_answer(server: Canned, client: VendorClient) -> None:
    server.echo = echo
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: client.complete(request(user(f"q{n}"), user=f"u{n}")).content, range(200)))
    assert answers == [f"u{n}: q{n}" for n in range(200)]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_calls_on_its_own_and_leaves_the_parents_connections_alone(
    server: Canned, client: VendorClient
) -> None:
    server.echo = echo
    client.complete(request(user("before"), user="parent"))
    children = [os.fork() or answer_in_child(client, number) for number in range(3)]
    answers = [client.complete(request(user(f"q{n}"), user="parent")).content for n in range(20)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert answers == [f"parent: q{n}" for n in range(20)]


def answer_in_child(client: VendorClient, number: int) -> int:
    """Ends the child: 0 where all its answers are its own."""
    try:
        answers = [client.complete(request(user(f"q{n}"), user=f"child-{number}")).content for n in range(20)]
        os._exit(0 if answers == [f"child-{number}: q{n}" for n in range(20)] else 1)
    finally:
        os._exit(2)


def test_a_caller_that_is_interrupted_hangs_up(server: Canned, client: VendorClient) -> None:
    def interrupt(*_: Any) -> None:
        raise InterruptedError("a soft time limit, say")

    client.connect()
    server.hangs.set()
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(InterruptedError):
            client.complete(request(timeout_s=60))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert server.hung_up.wait(timeout=10)


def test_a_new_key_in_the_environment_is_taken_up(
    server: Canned, client: VendorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    client.complete(request())
    monkeypatch.setenv("OPENAI_API_KEY", "second")
    client.complete(request())
    assert server.keys == ["Bearer unused", "Bearer second"]
