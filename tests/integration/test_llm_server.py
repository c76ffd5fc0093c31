"""The model server over real HTTP: scripted and recorded models, errors on the wire, the command line."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx2
import pytest

from agentflow.domain.errors import ModelError, RecordingDeviated
from agentflow.domain.message import Message, assistant, system, tool, user
from agentflow.llm.clients import VendorClient, client_for
from agentflow.llm.protocol import ModelRequest, ToolSchema
from agentflow.llm.recorded import RecordingEnded, recorded
from agentflow.llm.scripted import call, calls, scripted
from agentflow.llm.server import ModelServer

RECORDING: Any = {"conversation_id": "a", "messages": [user("hi"), assistant("hello"), user("bye")]}


def client(server: ModelServer) -> VendorClient:
    return client_for("openai:gpt-4o-mini", base_url=server.base_url)


def request(*messages: Message, **more: Any) -> ModelRequest:
    return ModelRequest("openai:gpt-4o-mini", messages or (user("hi"),), timeout_s=20, **more)


def test_a_scripted_answer_is_the_same_over_http_as_at_hand() -> None:
    model = scripted(calls(call("look", id=1), call("look", raw="{oops"), text="Wait."))
    with ModelServer(model) as server:
        assert client(server).complete(request()) == model.complete(request())


def test_a_deviation_survives_the_trip_with_its_difference() -> None:
    with ModelServer(recorded([RECORDING])) as server, pytest.raises(RecordingDeviated) as caught:
        client(server).complete(request(user("hi"), assistant("hullo"), user("bye"), user="a"))
    with pytest.raises(RecordingDeviated) as at_hand:
        recorded([RECORDING]).complete(request(user("hi"), assistant("hullo"), user("bye"), user="a"))
    assert str(caught.value) == str(at_hand.value)
    assert "-  hello\n+  hullo" in str(caught.value)


def test_the_end_of_a_recording_survives_the_trip() -> None:
    with ModelServer(recorded([RECORDING])) as server, pytest.raises(RecordingEnded, match="The recording ends here"):
        client(server).complete(request(user("hi"), assistant("hello"), user("bye")))


KINDS = ["transient", "rate_limited", "auth", "bad_input", "quota", "context_overflow", "refused"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_scripted_failure_survives_the_trip(kind: str) -> None:
    model = scripted(ModelError("as written", kind=kind, retry_after_s=3))
    with ModelServer(model) as server, pytest.raises(ModelError, match="as written") as caught:
        client(server).complete(request())
    assert (caught.value.kind, caught.value.retry_after_s) == (kind, 3)


def test_a_scripted_malformed_answer_cannot_be_read() -> None:
    with ModelServer(scripted(ModelError(kind="malformed"))) as server, pytest.raises(ModelError) as caught:
        client(server).complete(request())
    assert caught.value.kind == "malformed"


def test_the_log_holds_what_the_model_saw(tmp_path: Path) -> None:
    asked: Any = {"id": "x", "name": "look", "arguments": "{ }"}
    history = (system("s"), user("hi"), assistant(None, [asked]), tool(asked, "found"))
    with ModelServer(scripted("unused", "done"), log=tmp_path / "log.jsonl") as server:
        client(server).complete(request(*history, user="u1", tools=[ToolSchema("look", "", {})]))
        with pytest.raises(ModelError):
            client(server).complete(request(*history, assistant("done"), user("more")))
    first, second = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert (first["user"], first["tools"], first["answer"]["content"]) == ("u1", ["look"], "done")
    assert first["messages"][2]["tool_calls"][0]["function"] == {"name": "look", "arguments": "{ }"}
    assert first["messages_hash"] != second["messages_hash"]
    assert "asked for number 3" in second["error"]


def test_a_stream_holds_the_same_answer() -> None:
    with ModelServer(scripted(call("look", id=1))) as server:
        body = {"model": "m", "messages": [user("hi")], "stream": True}
        reply = httpx2.post(f"{server.base_url}/chat/completions", json=body)
    *chunks, end = [line.removeprefix("data: ") for line in reply.text.split("\n\n") if line]
    first, second, last = map(json.loads, chunks)
    assert first["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == '{"id":1}'
    assert second["choices"][0]["finish_reason"] == "tool_calls"
    assert last["usage"]["total_tokens"] > 0
    assert end == "[DONE]"


def test_models_are_listed() -> None:
    with ModelServer(scripted("x")) as server:
        assert httpx2.get(f"{server.base_url}/models").json()["object"] == "list"


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"model": "m", "messages": [{"role": 1}]}', "[" * 100_000])
def test_a_body_that_is_no_request_is_refused(body: str) -> None:
    with ModelServer(scripted("x")) as server:
        reply = httpx2.post(f"{server.base_url}/chat/completions", content=body)
    assert reply.status_code == 400
    assert "no chat completion request" in reply.json()["error"]["message"]


def test_a_body_of_several_megabytes_is_answered() -> None:
    with ModelServer(scripted(lambda asked: str(len(asked.messages[0]["content"])))) as server:
        assert client(server).complete(request(user("é" * 4_000_000))).content == "4000000"


def test_latency_delays_each_answer_but_not_the_others() -> None:
    with ModelServer(scripted("x"), latency_s=0.3) as server, ThreadPoolExecutor(10) as pool:
        asked = client(server)
        asked.connect()
        began = monotonic()
        assert [answer.content for answer in pool.map(asked.complete, [request()] * 10)] == ["x"] * 10
    assert 0.3 <= monotonic() - began < 2


def test_a_hundred_long_prompts_take_seconds_at_most() -> None:
    history = [user("q" * 500) if n % 2 else assistant("a" * 500) for n in range(39)]
    model = scripted(*["x"] * 20, "the end")
    with ModelServer(model) as server, ThreadPoolExecutor(8) as pool:
        asked = client(server)
        asked.connect()
        began = monotonic()
        answers = list(pool.map(asked.complete, [request(*history)] * 100))
    assert [answer.content for answer in answers] == ["the end"] * 100
    assert monotonic() - began < 5


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[str]:
    port_file = folder / "port"
    command = [sys.executable, "-m", "agentflow.llm.server", "--port-file", str(port_file), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = monotonic() + 20
        while not port_file.exists() and process.poll() is None and monotonic() < deadline:
            sleep(0.02)
        yield f"http://127.0.0.1:{int(port_file.read_text())}/v1"
    finally:
        process.terminate()
        process.wait(timeout=10)


def test_the_command_serves_scripts_by_customer(tmp_path: Path) -> None:
    scripts = [{"match": {"user_contains": "4421"}, "answers": ["refunded"]}, {"answers": ["who are you?"]}]
    (tmp_path / "s.json").write_text(json.dumps({"scripts": scripts}))
    log = tmp_path / "log.jsonl"
    with serving(tmp_path, "--script", str(tmp_path / "s.json"), "--log", str(log), "--latency-ms", "5") as base_url:
        asked = client_for("openai:m", base_url=base_url)
        assert asked.complete(request(user("order 4421"))).content == "refunded"
        assert asked.complete(request(user("hello"))).content == "who are you?"
    assert len(log.read_text().splitlines()) == 2


def test_the_command_serves_a_recording(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text(json.dumps(RECORDING) + "\n")
    with serving(tmp_path, "--recording", str(tmp_path / "r.jsonl")) as base_url:
        assert client_for("openai:m", base_url=base_url).complete(request()).content == "hello"


def test_the_command_names_a_file_that_it_cannot_use(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text("{}\n")
    command = [sys.executable, "-m", "agentflow.llm.server", "--recording", str(tmp_path / "r.jsonl")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert "r.jsonl:1 is no recording" in ended.stderr
