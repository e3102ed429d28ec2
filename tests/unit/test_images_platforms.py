"""Which platforms a host runs, and which an image is for."""

from __future__ import annotations

import json

import pytest

from spacedock.result import ErrorKind
from spacedock_worker.errors import StepError
from spacedock_worker.images.oci.manifest import (
    Platform,
    can_run,
    check_platform,
    emulators,
    is_of,
    parse_platform,
    read_manifest,
    read_platforms,
)

AMD64 = {"OSType": "linux", "Architecture": "x86_64"}
ARM64 = {"OSType": "linux", "Architecture": "aarch64"}
MAC = {**ARM64, "OperatingSystem": "Docker Desktop"}


@pytest.mark.parametrize(
    ("wanted", "info", "known", "runs"),
    [
        ("linux/amd64", AMD64, (), True),
        ("linux/386", AMD64, (), True),
        ("linux/arm64", AMD64, (), False),
        ("linux/arm64", AMD64, ("aarch64",), True),
        ("windows/amd64", AMD64, (), False),
        ("linux/arm/v7", ARM64, (), True),
        ("linux/amd64", ARM64, ("arm",), False),
        ("linux/amd64", MAC, (), True),
        ("linux/s390x", AMD64, ("s390x",), True),
    ],
)
def test_a_host_runs_its_own_platform_and_what_it_emulates(wanted, info, known, runs) -> None:
    assert can_run(parse_platform(wanted), info, known) is runs


def test_a_platform_that_does_not_run_here_is_refused_with_words() -> None:
    with pytest.raises(StepError, match="asks for the platform linux/arm64, and this host runs linux/amd64"):
        check_platform("clip", Platform("linux", "arm64"), AMD64, ())


def test_a_refusal_is_no_failed_pull() -> None:
    with pytest.raises(StepError) as caught:
        check_platform("clip", Platform("linux", "arm64"), AMD64, ())
    assert caught.value.kind is ErrorKind.UNSUPPORTED


def test_this_kernels_emulators_are_a_set_of_names() -> None:
    assert all("qemu-" not in name for name in emulators())


def test_an_image_is_of_the_platform_that_the_engine_says() -> None:
    found = {"Os": "linux", "Architecture": "arm", "Variant": "v7"}
    assert [is_of(found, parse_platform(p)) for p in ("linux/arm", "linux/arm/v7", "linux/arm/v6")] == [
        True,
        True,
        False,
    ]
    assert is_of(found, None)


def test_an_index_names_its_platforms_without_what_attests() -> None:
    rows = [
        ("linux", "amd64", ""),
        ("linux", "arm", "v7"),
        ("unknown", "unknown", ""),
        ("linux", "amd64", ""),
    ]
    listed = [
        {"digest": f"sha256:{n:064}", "platform": {"os": os, "architecture": arch, "variant": variant}}
        for n, (os, arch, variant) in enumerate(rows)
    ]
    index = json.dumps({"manifests": listed}).encode()
    assert [str(platform) for platform in read_platforms(index)] == ["linux/amd64", "linux/arm/v7"]
    assert read_manifest(index, Platform("linux", "arm", "v7")) == f"sha256:{1:064}"
    assert read_manifest(index, Platform("linux", "arm", "v6")) is None


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"manifests": 1}', b'{"os": "li\\u001bnux", "architecture": "x"}']
)
def test_what_makes_no_sense_names_no_platform(content: bytes) -> None:
    assert read_platforms(content) == ()


def test_the_configuration_of_an_image_names_its_platform() -> None:
    assert read_platforms(b'{"os": "linux", "architecture": "arm64"}') == (Platform("linux", "arm64"),)
