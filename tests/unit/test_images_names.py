"""Names, tags, manifests and logins, as image registries and the Hub write them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacedock.result import ErrorKind
from spacedock_worker.errors import StepError
from spacedock_worker.images.oci.client import Challenge, read_challenge
from spacedock_worker.images.oci.manifest import ImageManifest, Platform, platform_of, read_manifest
from spacedock_worker.images.oci.preflight import check_room, free_bytes, in_words
from spacedock_worker.images.oci.reference import (
    choose_tag,
    familiar,
    parse_reference,
    revision_of,
    subdomain_of,
)
from spacedock_worker.images.source import described, is_built, labels_of

DIGEST = f"sha256:{'d' * 64}"
SHA = "0123abcdef0123abcdef0123abcdef0123abcdef"


@pytest.mark.parametrize(
    ("text", "whole", "url"),
    [
        ("alpine", "docker.io/library/alpine", "https://registry-1.docker.io/v2"),
        ("me/app:1", "docker.io/me/app:1", "https://registry-1.docker.io/v2"),
        ("registry.hf.space/a-b:latest", "registry.hf.space/a-b:latest", "https://registry.hf.space/v2"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000/x", "http://127.0.0.1:5000/v2"),
        ("localhost/x/y:2", "localhost/x/y:2", "http://localhost/v2"),
        (f"ghcr.io/a/b:1@{DIGEST}", f"ghcr.io/a/b:1@{DIGEST}", "https://ghcr.io/v2"),
    ],
)
def test_a_name_is_read_as_docker_reads_it(text: str, whole: str, url: str) -> None:
    reference = parse_reference(text)
    assert (str(reference), reference.base_url) == (whole, url)


def test_what_is_wanted_is_the_digest_else_the_tag_else_latest() -> None:
    assert parse_reference(f"x:1@{DIGEST}").wanted == DIGEST
    assert (parse_reference("x:1").wanted, parse_reference("x").wanted) == ("1", "latest")
    assert str(parse_reference("h.io/x:1").pinned(DIGEST)) == f"h.io/x@{DIGEST}"


@pytest.mark.parametrize(
    ("tags", "sha", "chosen"),
    [
        (("cpu-0123abc", "latest"), None, "latest"),
        (("cpu-fffffff", "cpu-0123abc", "gpu-0123abc"), SHA, "cpu-0123abc"),
        (("gpu-0123abc",), SHA, "gpu-0123abc"),
        (("cpu-fffffff",), SHA, None),
        (("nightly", "cpu-0123abc", "cpu-fffffff"), None, "cpu-fffffff"),
        (("nightly",), None, None),
        ((), SHA, None),
    ],
)
def test_the_tag_is_latest_else_the_commits(tags: tuple[str, ...], sha: str | None, chosen: str) -> None:
    assert choose_tag(tags, sha) == chosen


def test_a_tag_tells_the_commit_as_far_as_it_says_it() -> None:
    assert revision_of("cpu-0123abc", SHA) == SHA
    assert revision_of("cpu-0123abc", None) == "0123abc"
    assert revision_of("latest", SHA) is None


def test_a_subdomain_is_the_id_in_lower_case_with_dashes() -> None:
    assert subdomain_of("Some.One/my_Space-2") == "some-one-my-space-2"


LAYERS = [{"digest": f"sha256:{n * 64}", "size": 10} for n in "ab"]


def test_an_index_names_the_manifest_of_the_engines_platform() -> None:
    entries = [
        {"digest": f"sha256:{n * 64}", "platform": {"os": "linux", "architecture": name}}
        for n, name in (("1", "arm64"), ("2", "amd64"))
    ]
    index = json.dumps({"manifests": entries}).encode()
    assert read_manifest(index, platform_of({"Architecture": "x86_64"})) == f"sha256:{'2' * 64}"
    assert read_manifest(index, platform_of({"Architecture": "aarch64"})) == f"sha256:{'1' * 64}"
    assert read_manifest(index, platform_of({"Architecture": "s390x"})) is None


def test_a_manifest_adds_its_layers_up() -> None:
    found = read_manifest(json.dumps({"layers": LAYERS}).encode(), Platform())
    assert isinstance(found, ImageManifest)
    assert found.size == 20


@given(
    st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v))
)
def test_whatever_an_image_registry_sends_is_read_or_counts_as_none(content: bytes | str) -> None:
    data = content.encode() if isinstance(content, str) else content
    assert read_manifest(data, Platform()) is None


@pytest.mark.parametrize(
    "layers",
    [[{"digest": "sha256:x", "size": 1}], [{"digest": DIGEST, "size": -1}], [{"size": 1}], [None], "abc"],
)
def test_a_manifest_that_makes_no_sense_counts_as_none(layers: object) -> None:
    assert read_manifest(json.dumps({"layers": layers}).encode(), Platform()) is None


def test_the_login_that_is_asked_for_is_understood() -> None:
    header = 'Bearer realm="https://auth.example/token",service="reg, one",scope="repository:x:pull"'
    assert read_challenge(header) == Challenge(
        "bearer", "https://auth.example/token", "reg, one", "repository:x:pull"
    )
    assert read_challenge('Basic realm="basic-realm"') == Challenge("basic")
    assert read_challenge("Negotiate") is None
    assert read_challenge("Bearer scope=x") is None


def test_a_password_goes_to_no_token_server_in_the_clear() -> None:
    assert Challenge("bearer", "https://auth.example/token").safe_for(loopback=False)
    assert not Challenge("bearer", "http://auth.example/token").safe_for(loopback=True)
    assert not Challenge("bearer", "http://127.0.0.1/token").safe_for(loopback=False)
    assert Challenge("bearer", "http://127.0.0.1/token").safe_for(loopback=True)


def test_a_download_that_does_not_fit_is_refused_with_what_it_needs_and_what_is_free() -> None:
    info = {"DockerRootDir": "/var/lib/docker"}
    check_room("x:1", 10**9, info, free=2 * 10**9)
    check_room("x:1", 10**18, info, free=None)
    with pytest.raises(
        StepError, match=r"2\.4 GB \(2,400,000,000 bytes.*1\.5 GB free \(1,500,000,000"
    ) as caught:
        check_room("x:1", 1_200_000_000, info, free=1_500_000_000)
    assert caught.value.kind is ErrorKind.OUT_OF_DISK
    assert "/var/lib/docker" in str(caught.value)


def test_free_bytes_are_known_only_of_a_folder_of_this_host(tmp_path) -> None:
    assert (free_bytes({"DockerRootDir": str(tmp_path)}) or 0) > 0
    assert free_bytes({"DockerRootDir": str(tmp_path / "none")}) is None
    assert free_bytes({}) is None


def test_bytes_in_words() -> None:
    assert [in_words(n) for n in (12, 1500, 45_600_000, 1_234_000_000)] == [
        "12 bytes",
        "1.5 kB",
        "45.6 MB",
        "1.2 GB",
    ]


def inspected(digests: tuple[str, ...] = (), **config: object) -> dict[str, object]:
    return {"Id": "sha256:id", "RepoDigests": list(digests), "Config": config}


@pytest.mark.parametrize(
    ("env", "cache"),
    [
        (["HOME=/root", "HF_HOME=/data/hf"], "/data/hf"),
        (["HOME=/root"], "/root/.cache"),
        (["PATH=/bin"], "/home/user/.cache"),
        (["HF_HOME=/"], "/home/user/.cache"),
        (["HF_HOME=/a/../..", "HOME=/x:ro"], "/home/user/.cache"),
        (["HF_HOME=hf", "HOME=/"], "/home/user/.cache"),
    ],
)
def test_an_apps_cache_is_where_its_image_says(env: list[str], cache: str) -> None:
    assert described("x.io/y:1", inspected(Env=env)).cache == cache


def test_an_image_that_we_built_tells_by_its_labels_how_to_run_it() -> None:
    labels = labels_of("space", "me/space", SHA, 8080, "/ui")
    image = described("spacedock/space-x:1", inspected(Labels=labels))
    assert (image.built, image.port, image.base_path, image.revision) == (True, 8080, "/ui", SHA)
    assert image.digest == image.id == "sha256:id"


def test_the_labels_of_a_pulled_image_count_for_nothing() -> None:
    labels = labels_of("space", "me/space", SHA, 8080, "/ui")
    for name in ("x.io/y:1", "spacedock/space-x:1"):
        digests = (f"{name.partition(':')[0]}@{DIGEST}",)
        image = described(name, inspected(digests, Labels=labels, Cmd=["serve"]))
        assert (image.built, image.port, image.revision, image.command) == (False, 7860, None, None)
        assert image.digest == DIGEST


def test_the_digest_is_that_of_the_images_own_registry() -> None:
    other = f"sha256:{'e' * 64}"
    found = inspected((f"a.io/x@{other}", f"b.io/x@{DIGEST}"))
    assert described("b.io/x:1", found).digest == DIGEST


def test_a_build_in_containerds_store_is_known_by_its_label() -> None:
    labels = labels_of("space", "me/space", SHA, 8080, "/ui")
    found = inspected(("spacedock/space-x@sha256:id",), Labels=labels)
    image = described("spacedock/space-x:1", found)
    assert (image.built, image.port, image.revision, image.digest) == (True, 8080, SHA, "sha256:id")
    assert not described("spacedock/space-x:1", inspected(("spacedock/space-x@sha256:id",))).built


@pytest.mark.parametrize("place", ["docker.io/", "localhost/"])
def test_a_build_of_podmans_is_known_by_its_label(place: str) -> None:
    labels = labels_of("space", None, None, 8080, "")
    found = inspected((f"{place}spacedock/space-x@{DIGEST}",), Labels=labels)
    assert described(f"{place}spacedock/space-x:1", found).built
    assert described("spacedock/space-x:1", found).port == 8080
    row = {"Id": "sha256:id", "RepoDigests": found["RepoDigests"], "Labels": labels}
    assert is_built(f"{place}spacedock/space-x:1", row)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("docker.io/library/python:3.11-slim", "python:3.11-slim"),
        ("docker.io/spacedock/space-x:1", "spacedock/space-x:1"),
        ("localhost/spacedock/python:3.11", "spacedock/python:3.11"),
        ("localhost/mine:1", "localhost/mine:1"),
        ("registry.hf.space/me-x:latest", "registry.hf.space/me-x:latest"),
        ("redis:7", "redis:7"),
    ],
)
def test_podmans_names_are_read_as_dockers(name: str, short: str) -> None:
    assert familiar(name) == short
