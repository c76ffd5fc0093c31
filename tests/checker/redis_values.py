"""Owns reading all that stands in a Redis, whatever its type, as text."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

import redis


def redis_texts(url: str) -> Iterator[tuple[str, list[str]]]:
    """Return each key with all texts in its value; a broker's message with its body decoded too."""
    with redis.Redis.from_url(url, decode_responses=True, encoding_errors="replace") as connection:
        for key in connection.scan_iter(count=1000):
            texts = [str(each) for each in _values(connection, key)]
            yield key, [*texts, *filter(None, map(_body, texts))]


def _values(connection: Any, key: str) -> list[Any]:
    match connection.type(key):
        case "string":
            return [connection.get(key)]
        case "list":
            return list(connection.lrange(key, 0, -1))
        case "set":
            return list(connection.smembers(key))
        case "zset":
            return list(connection.zrange(key, 0, -1))
        case "hash":
            return [text for pair in connection.hgetall(key).items() for text in pair]
        case "stream":
            return [str(entry) for entry in connection.xrange(key)]
        case _:
            return []


def _body(text: str) -> str | None:
    try:
        message = json.loads(text)
        return base64.b64decode(message["body"]).decode("utf-8", "replace")
    except (ValueError, TypeError, KeyError, binascii.Error):
        return None
