"""The requests that the server answers, and those that it refuses."""

import json
import socket

import pytest

from .conftest import HOSTILE

JSON = {"Content-Type": "application/json"}


def test_every_address_needs_the_token(server):
    token = server.parts.path.strip("/")
    for path in ("", "api/state", "api/groups", "thumb/1", "index.html"):
        for wrong in (token[:-1], token + "x", "x", "%2e%2e"):
            assert server.ask("GET", f"/{wrong}/{path}").status == 404
    assert server.ask("GET", "/").status == 404
    assert server.ask("POST", "/x/api/marks", b"{}", JSON).status == 404
    assert server.ask("GET", "api/state").status == 200


def test_only_requests_to_this_host_and_from_this_page_are_answered(server):
    port, host = server.parts.port, server.parts.netloc
    for foreign in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}"):
        assert server.ask("GET", "api/state", headers={"Host": foreign}).status == 403
    for known in (host, f"localhost:{port}", "localhost:9999"):  # behind a tunnel the port is another one
        assert server.ask("GET", "api/state", headers={"Host": known}).status == 200
    for foreign in ("http://evil.example", f"http://127.0.0.1:{port + 1}", "null", f"https://{host}"):
        assert server.ask("GET", "api/state", headers={"Origin": foreign}).status == 403
        assert server.ask("POST", "api/plan", b"{}", JSON | {"Origin": foreign}).status == 403
    assert server.ask("POST", "api/plan", b"{}", JSON | {"Origin": f"http://{host}"}).status == 200


def test_a_decision_must_be_a_json_object(server):
    body = json.dumps({"marks": {}}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert server.ask("POST", "api/marks", body, {"Content-Type": kind}).status in (400, 415)
    assert server.ask("POST", "api/marks", body).status == 415
    for content in (b"", b"[]", b"{", b"\xff", b"[" * 100_000):
        answer = server.ask("POST", "api/marks", content, JSON)
        assert answer.status == 400
        assert answer.json == {"error": "the request is no JSON object"}
    assert server.ask("POST", "api/marks", body, {"Content-Type": "application/json; charset=utf-8"}).status == 200
    assert server.ask("GET", "api/marks").status == 404
    assert server.ask("PUT", "api/marks", body, JSON).status == 405


def test_every_answer_has_a_strict_policy(server):
    number = next(iter(server.images().values()))["n"]
    for path in ("", "api/state", f"thumb/{number}", f"picture/{number}", "nothing", "/nothing/at/all"):
        headers = server.ask("GET", path).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in headers
        assert "Access-Control-Allow-Origin" not in headers


def test_no_file_outside_of_the_page_is_sent(server, reviewed):
    for path in ("../report.html.jinja", "%2e%2e/report.html.jinja", "..%2freport.html.jinja", "/etc/passwd"):
        answer = server.ask("GET", path)
        assert answer.status == 404
        assert b"root:" not in answer.body
    for path in (f"{server.parts.path}../../../../../etc/passwd", f"/{reviewed.photos}", "//etc/passwd"):
        assert server.ask("GET", path).status == 404
    for path in ("thumb/../1", "thumb/-1", "thumb/x", "thumb/999999", "picture/999999", f"thumb/{10**30}"):
        assert server.ask("GET", path).status == 404


def test_a_hostile_name_is_text(server):
    image = server.images()[HOSTILE]
    assert image["folder"] == "phone"
    answer = server.ask("GET", f"api/groups/details?ids={image['group']}")
    assert answer.headers["Content-Type"] == "application/json"
    assert HOSTILE in answer.body.decode()


@pytest.mark.parametrize(
    ("path", "values", "message"),
    [
        ("marks", {}, "'marks' lacks"),
        ("marks", {"marks": {"999999": "keep"}}, "image 999999 is in no group"),
        ("marks", {"marks": {"-1": "keep"}}, "no number of an image"),
        ("marks", {"marks": {"1e3": "keep"}}, "no number of an image"),
        ("marks", {"marks": {"0": "delete"}}, "'delete' is no mark"),
        ("apart", {"pairs": [[1]], "on": True}, "no pairs of images"),
        ("apart", {"pairs": [1], "on": True}, "no pairs of images"),
        ("apart", {"pairs": ["01"], "on": True}, "no pairs of images"),
        ("apart", {"pairs": [[0, 999999]], "on": True}, "no pairs of images"),
        ("prefer", {"folder": "nowhere"}, "no image of a group lies in nowhere"),
        ("suggest", {"rules": ["prettiest"]}, "no rule 'prettiest'"),
        ("suggest", {"prefer": ["nowhere"]}, "names "),
        ("suggest", {"prefer": ["a\0b"]}, "is no name of a folder"),
        ("suggest", {"protect": ["\ud800"]}, "is no name of a folder"),
        ("suggest", {"filter": {"colour": "red"}}, "no condition 'colour'"),
        ("suggest", {"include": ["everything"]}, "is not known"),
        ("apply", {"action": "delete", "files": 1, "plan": ""}, "no action delete here; use trash or move"),
        ("apply", {"action": "hardlink", "files": 1, "plan": ""}, "no action hardlink here"),
        ("apply", {"action": "move", "folder": "../away", "files": 1, "plan": ""}, "by its whole path"),
        ("apply", {"action": "trash", "folder": "/x", "files": 1, "plan": ""}, "the trash needs no folder"),
        ("apply", {"action": "move", "folder": "/a\0b", "files": 1, "plan": ""}, "by its whole path"),
        ("apply", {"action": "move", "folder": "/\ud800", "files": 1, "plan": ""}, "by its whole path"),
        ("apply", {"action": "trash"}, "no number"),
        ("apply", {"action": "trash", "files": 1}, "'plan' lacks"),
        ("undo", {"journal": "../../other.jsonl"}, "nothing (more) to undo"),
    ],
)
def test_a_decision_that_cannot_be_used_is_refused_in_a_line(server, reviewed, path, values, message):
    before = reviewed.there()
    error = server.post(f"api/{path}", 400, **values)["error"]
    assert message in error
    assert "\n" not in error
    assert reviewed.there() == before


def test_a_question_that_cannot_be_used_is_refused_in_a_line(server):
    for path in ("min_size=many", "after=yesterday", "marked=maybe", "verdict=equal", "colour=red"):
        answer = server.ask("GET", f"api/groups?{path}")
        assert answer.status == 400
        assert "\n" not in answer.json["error"]
    assert server.ask("GET", "api/groups/details?ids=x").status == 400
    assert server.ask("GET", "api/groups/details?ids=" + ",".join(["1"] * 201)).status == 400
    assert server.get("api/groups/details", ids="999999") == {"groups": []}


def test_no_large_request_without_the_token_is_read(server):
    body = b" " * (1 << 20) + b'{"marks": {}}'
    assert server.ask("POST", "api/marks", body, JSON).status == 200
    head = f"Host: {server.parts.netloc}\r\nContent-Type: application/json\r\n"
    for path in ("/x/api/marks", "/", server.parts.path[:-2] + "/api/marks"):
        for length in (f"Content-Length: {len(body)}\r\n", "Transfer-Encoding: chunked\r\n"):
            with socket.create_connection((server.parts.hostname, server.parts.port), timeout=60) as connection:
                connection.sendall(f"POST {path} HTTP/1.1\r\n{head}{length}\r\n".encode())
                if "chunked" in length:
                    connection.sendall(b"ffff0\r\n")
                assert b"400 Bad Request" in connection.recv(1000)


def test_pictures_are_kept_by_browsers_as_long_as_their_content_is_the_same(server):
    image = server.images()[HOSTILE]
    answer = server.ask("GET", f"thumb/{image['n']}?v={image['v']}")
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.headers["Content-Type"] == "image/webp"
    assert server.ask("GET", f"thumb/{image['n']}?v={'0' * 16}").headers["Cache-Control"] == "no-store"
