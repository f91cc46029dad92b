"""The error types of both dialects: clients choose by them what to raise and whether to try again."""

import json

import pytest

from gateway.errors import Refusal, Words


@pytest.mark.parametrize(
    ("status", "openai", "hugging_face"),
    [
        (400, "invalid_request_error", "validation"),
        (401, "authentication_error", "permission"),
        (402, "insufficient_quota", "permission"),
        (403, "permission_error", "permission"),
        (404, "not_found_error", "validation"),
        (405, "invalid_request_error", "validation"),
        (408, "invalid_request_error", "validation"),
        (409, "invalid_request_error", "validation"),
        (410, "invalid_request_error", "validation"),
        (413, "invalid_request_error", "validation"),
        (422, "invalid_request_error", "validation"),
        (429, "rate_limit_error", "overloaded"),
        (500, "server_error", "generation"),
        (502, "server_error", "generation"),
        (503, "server_error", "overloaded"),
        (504, "server_error", "generation"),
    ],
)
def test_each_status_has_a_type_in_both_dialects(status: int, openai: str, hugging_face: str) -> None:
    refusal = Refusal(status, "some_code", "What to do next.")
    assert json.loads(refusal.body(Words.OPENAI, "id"))["error"]["type"] == openai
    assert json.loads(refusal.body(Words.HUGGING_FACE, "id"))["error_type"] == hugging_face
