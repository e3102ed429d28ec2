"""What somebody would try against the HTTP door, each tried here."""

from __future__ import annotations

import asyncio
import hmac
import io
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs
from tests.door import Door, opened
from tests.integration.queue.workers import until

from spacedock._wire.view.tokens import Scope
from spacedock.client import Client
from spacedock.configuration import ConfigError
from spacedock.errors import SpacedockError
from spacedockd.http import errors, intake
from spacedockd.http.listening import TOKEN


@pytest.fixture
async def door(redis_url: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(redis_url, tmp_path, allowed_hosts=("queue.example",)) as door:
        yield door


async def asked(door: Door, method: str = "GET", path: str = "/hosts", **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with door.session.request(method, path, headers=named) as response:
        return response.status


async def raw(door: Door, sent: bytes) -> bytes:
    """What comes back for these bytes until the connection is closed."""
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(door.url.rpartition(":")[2]))
        writer.write(sent)
        answer = await reader.read()
        writer.close()
        return answer


def head(door: Door, line: str, *more: str) -> bytes:
    lines = [line, "Host: localhost", f"Authorization: Bearer {door.token}", "Connection: close", *more]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:7788", 200),
        ("127.0.0.1", 200),
        ("[::1]:7788", 200),
        ("192.168.1.5:80", 200),
        ("QUEUE.example.", 200),
        ("evil.example", 421),
        ("localhost.evil.example:7788", 421),
        ("127.0.0.1.evil.example", 421),
        ("queue.example@evil.example", 421),
        ("localhost:80@evil.example", 421),
        ("[::1].evil.example", 421),
        ("[localhost]", 421),
        ("", 421),
    ],
)
async def test_a_name_that_is_not_ours_is_not_answered(door: Door, host: str, status: int) -> None:
    """DNS rebinding: a page's own name is made to lead here."""
    assert await asked(door, Host=host) == status
    assert await asked(door, path="/openapi.json", Host=host) == status


async def test_two_host_headers_are_refused(door: Door) -> None:
    assert b" 400 " in await raw(door, head(door, "GET /hosts HTTP/1.1", "Host: evil.example"))


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "https://localhost"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_pages_of_other_sites_are_refused(door: Door, origin: str, method: str) -> None:
    headers = {"Origin": origin, "Authorization": f"Bearer {door.token}"}
    async with door.session.request(method, "/jobs", headers=headers) as response:
        assert response.status == 403
        assert not [name for name in response.headers if name.lower().startswith("access-control-")]


async def test_what_browsers_send_across_sites_is_refused_without_an_origin_too(door: Door) -> None:
    assert await asked(door, Sec_Fetch_Site="cross-site") == 403
    assert await asked(door, Sec_Fetch_Site="same-site") == 403
    assert await asked(door, Sec_Fetch_Site="none") == 200
    assert await asked(door, Origin=door.url, Sec_Fetch_Site="same-origin") == 200


@pytest.mark.parametrize("second", ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site"])
async def test_a_second_header_hides_behind_no_first_one(door: Door, second: str) -> None:
    first = ("Origin: http://localhost", "Sec-Fetch-Site: same-origin")
    assert b" 403 " in await raw(door, head(door, "GET /hosts HTTP/1.1", *first, second))


async def test_a_head_that_does_not_come_is_cut_off(redis_url: str, tmp_path: Path) -> None:
    async with opened(redis_url, tmp_path, limits={"idle_seconds": 0.3}) as door:
        assert await raw(door, b"") == b""
        assert await raw(door, b"GET /hosts HTTP/1.1\r\nHost: loc") == b""


async def test_a_body_that_does_not_come_is_cut_off(redis_url: str, tmp_path: Path) -> None:
    async with opened(redis_url, tmp_path, limits={"body_seconds": 0.3}) as door:
        for kind in ("application/json", "multipart/form-data; boundary=x"):
            more = (f"Content-Type: {kind}", "Content-Length: 1000")
            answer = await raw(door, head(door, "POST /jobs HTTP/1.1", *more) + b'--x\r\n{"prompt": ')
            assert b" 408 " in answer
            chunked = head(door, "POST /jobs HTTP/1.1", more[0], "Transfer-Encoding: chunked")
            assert b" 408 " in await raw(door, chunked + b"5\r\n--x\r\n\r\n")
    assert [*(tmp_path / "state/http-uploads").iterdir()] == []


async def test_a_reader_that_does_not_read_is_cut_off(redis_url: str, tmp_path: Path) -> None:
    async with opened(redis_url, tmp_path, limits={"body_seconds": 0.3}) as door:
        async with door.session.post("/files", data=b"x" * 2**19) as response:
            digest = (await response.json())["sha256"]
        with capture_logs() as logs:
            port = int(door.url.rpartition(":")[2])
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            # The system's buffers take some megabytes before the door has to wait.
            writer.write(head(door, f"GET /files/{digest} HTTP/1.1").replace(b"close", b"keep-alive") * 60)

            async def is_cut_off() -> bool:
                return any(one["event"] == "http.cut_off" for one in logs)

            await until(is_cut_off)
            writer.close()


async def test_bodies_are_bounded(redis_url: str, tmp_path: Path) -> None:
    async with opened(redis_url, tmp_path, limits={"body": 2**20}) as door:
        declared = head(door, "POST /files HTTP/1.1", f"Content-Length: {2**30}")
        assert b" 413 " in await raw(door, declared)
        chunked = head(door, "POST /files HTTP/1.1", "Transfer-Encoding: chunked")
        assert b" 413 " in await raw(door, chunked + (b"10000\r\n" + b"x" * 2**16 + b"\r\n") * 17)
        assert [*(tmp_path / "state/http-uploads").iterdir()] == []


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/chat/completions", b"[" + b"{}," * 2**20 + b"{}]", "too_complex"),
        ("/v1/chat/completions", b"[" + b"1," * 2**20 + b"1]", "too_complex"),
        ("/v1/chat/completions", b'"' + rb"\n" * 2**20 + b'"', "too_complex"),
        ("/v1/chat/completions", b"{" + b",".join(b'"%x":0' % n for n in range(2**18)) + b"}", "too_complex"),
        ("/batches", b"[" + b"1," * 2**20 + b"1]", "too_complex"),
        ("/v1/chat/completions", b'"' + b"x" * 2**25 + b'"', "too_large"),
    ],
    ids=["objects", "numbers", "escapes", "keys", "batch", "text"],
)
async def test_json_that_takes_long_to_parse_is_refused_unparsed(
    door: Door, monkeypatch: pytest.MonkeyPatch, path: str, body: bytes, code: str
) -> None:
    monkeypatch.setattr(intake, "from_json", None)
    async with door.session.post(
        path, data=io.BytesIO(body), headers={"Content-Type": "application/json"}
    ) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (413, code)


async def test_a_large_file_in_base64_is_read(door: Door) -> None:
    body = b'{"model": 1, "file": "' + rb"\/" * 2**18 + b"x" * 2**24 + b'"}'
    async with door.session.post(
        "/v1/chat/completions", data=io.BytesIO(body), headers={"Content-Type": "application/json"}
    ) as response:
        assert response.status != 413


async def test_the_texts_of_a_form_are_bounded_together(door: Door) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    for number in range(5):
        form.add_field(f"field{number}", "x" * 2**18)
    async with door.session.post("/jobs", data=form) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (413, "too_large")


async def test_a_compressed_body_is_refused(door: Door) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    async with door.session.post("/jobs", data=b"\x1f\x8b", headers=headers) as response:
        assert response.status == 415


async def test_a_transfer_encoding_that_nobody_decodes_is_refused(door: Door) -> None:
    coded = head(door, "POST /jobs HTTP/1.1", "Transfer-Encoding: gzip, chunked")
    assert b" 501 " in await raw(door, coded + b"2\r\n{}\r\n0\r\n\r\n")


async def test_a_body_is_asked_for_only_where_it_is_taken(door: Door) -> None:
    waits = ("Expect: 100-continue", "Content-Length: 1000000")
    stranger = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\n" + "\r\n".join([*waits, "", ""]).encode()
    assert (await raw(door, stranger)).startswith(b"HTTP/1.1 401 ")
    named = head(door, "POST /jobs HTTP/1.1", "Expect: 100-continue", "Content-Length: 2")
    answer = await raw(door, named + b"{}")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 ")
    odd = await raw(door, head(door, "POST /jobs HTTP/1.1", "Expect: sandwich", "Content-Length: 0"))
    assert odd.startswith(b"HTTP/1.1 417 ")
    assert b'"code": "expectation"' in odd


async def test_each_token_has_its_own_rate_and_number_of_requests(redis_url: str, tmp_path: Path) -> None:
    async with opened(redis_url, tmp_path, limits={"rate": 0.5, "concurrent": 1}) as door:
        async with Client(redis_url) as client:
            other = f"Bearer {await client.tokens.create('other', Scope.READ)}"
        async with door.session.get("/events") as stream:
            assert stream.status == 200
            async with door.session.get("/hosts") as response:
                assert (response.status, "Retry-After" in response.headers) == (429, True)
            assert await asked(door, Authorization=other) == 200
        # Five at once, and one more each two seconds.
        statuses = [await asked(door, Authorization=other) for _ in range(15)]
        assert statuses[:4] == [200] * 4
        assert statuses[-1] == 429


async def test_no_more_connections_are_taken_than_may_be(redis_url: str, tmp_path: Path) -> None:
    async with opened(redis_url, tmp_path, limits={"connections": 2}) as door:
        port = int(door.url.rpartition(":")[2])
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        try:
            answer = await raw(door, head(door, "GET /hosts HTTP/1.1"))
        except ConnectionResetError:
            # It was closed before what came was read.
            answer = b""
        for _, writer in held:
            writer.close()
        assert answer == b""


@pytest.mark.parametrize(
    "path",
    [
        "/files/../../etc/passwd",
        "/files/..%2f..%2fetc%2fpasswd",
        "/files/%2e%2e%2fhttp-token",
        "/../http-token",
        "/files//etc/passwd",
        "/jobs/..%2f..%2fetc%2fpasswd/result",
        "/files/%00",
    ],
)
async def test_no_path_leads_to_a_file_of_the_host(door: Door, path: str) -> None:
    answer = await raw(door, head(door, f"GET {path} HTTP/1.1"))
    assert answer.split()[1] in (b"404", b"400")
    assert b"root:" not in answer
    assert door.token.encode() not in answer


async def test_no_token_and_no_prompt_is_in_the_log(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "told", lambda error: None)
    with capture_logs() as logs:
        async with door.session.post("/jobs", json={"prompt": "", "space": "my secret"}) as response:
            assert response.status == 500
            assert "secret" not in await response.text()
    (failed,) = logs
    said = json.dumps(logs, default=str)
    assert failed["event"] == "http.failed"
    assert door.token not in said
    assert "secret" not in said


async def test_tokens_are_compared_in_constant_time(
    door: Door, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[object, object]] = []
    alike = hmac.compare_digest

    def noted(one: str, other: str) -> bool:
        compared.append((one, other))
        return alike(one, other)

    async with Client(redis_url) as client:
        text = await client.tokens.create("x", Scope.READ)
    monkeypatch.setattr(hmac, "compare_digest", noted)
    for token in (door.token, text, text[:-1] + "!", f"sd-{'0' * 8}-{'x' * 43}"):
        await asked(door, Authorization=f"Bearer {token}")
    # With the owner's each, and with the one that has the token's id; what is compared are hashes.
    assert len(compared) == 5
    assert all(len(str(one)) == len(str(other)) == 64 for one, other in compared)


async def test_a_token_that_others_may_read_is_refused(redis_url: str, tmp_path: Path) -> None:
    async with opened(redis_url, tmp_path):
        path = tmp_path / "state" / TOKEN
        assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(SpacedockError, match="can be read by others"):
        async with opened(redis_url, tmp_path):
            pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=x"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


async def test_tls_is_spoken_by_files(redis_url: str, tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    async with opened(redis_url, tmp_path, tls_cert=cert, tls_key=key) as door:
        trusting = ssl.create_default_context(cafile=str(cert))
        async with door.session.get("/hosts", ssl=trusting) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientConnectionError):
            async with aiohttp.ClientSession() as plain, plain.get(door.url.replace("https", "http")):
                pass
    with pytest.raises(ConfigError, match="cannot be used"):
        async with opened(redis_url, tmp_path, tls_cert=cert, tls_key=cert):
            pass


@pytest.mark.parametrize(("trusted", "status"), [("127.0.0.0/8", 200), ("10.0.0.0/8", 421)])
async def test_only_a_trusted_proxy_says_how_it_was_asked(
    redis_url: str, tmp_path: Path, trusted: str, status: int
) -> None:
    names = {"trusted_proxies": (trusted,), "allowed_hosts": ("queue.example",)}
    async with opened(redis_url, tmp_path, **names) as door:
        forwarded = {"X_Forwarded_Host": "queue.example", "X_Forwarded_Proto": "https"}
        assert await asked(door, Host="inside.example", **forwarded) == status
        origin = await asked(door, Origin="https://queue.example", Host="queue.example", **forwarded)
        assert origin == (200 if status == 200 else 403)


@pytest.mark.parametrize("path", ["/v1/files/{file}/content", "/openapi.json"])
async def test_whatever_is_not_read_is_cut_off(redis_url: str, tmp_path: Path, path: str) -> None:
    async with opened(redis_url, tmp_path, limits={"body_seconds": 0.3}) as door:
        form = aiohttp.FormData({"purpose": "batch"})
        form.add_field("file", io.BytesIO(b"x" * 2**23), filename="a.jsonl")
        async with door.session.post("/v1/files", data=form) as response:
            asked_for = path.format(file=(await response.json())["id"])
        with capture_logs() as logs:
            port = int(door.url.rpartition(":")[2])
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.write(head(door, f"GET {asked_for} HTTP/1.1").replace(b"close", b"keep-alive") * 200)

            async def is_cut_off() -> bool:
                return any(one["event"] == "http.cut_off" for one in logs)

            await until(is_cut_off)
            writer.close()
