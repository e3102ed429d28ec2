"""What a stranger's Dockerfile may ask of the builder: nothing of this host, and no other Space's image."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacedock.result import ErrorKind
from spacedock_worker.errors import StepError
from spacedock_worker.images.build.admission import MAX_BYTES, ForbiddenError, examine, examine_triggers
from spacedock_worker.images.build.blueprint import draw
from spacedock_worker.images.build.borrowing import is_here, why_not
from spacedock_worker.images.build.repository import read_repository
from spacedock_worker.images.settings import ImageSettings

URL = "http://127.0.0.1:8000/secret"
FROM = "FROM python:3.11\n"


@pytest.mark.parametrize(
    "lines",
    [
        f"ADD {URL} /x",
        f"add {URL} /x",
        f"  AdD   {URL} /x",
        f"ADD\t{URL}\t/x",
        "ADD http://169.254.169.254/latest/meta-data /x",
        "ADD http://localhost/ /x",
        "ADD http://0.0.0.0/ /x",
        "ADD http://[::1]/ /x",
        "ADD http://2130706433/ /x",
        "ADD HTTPS://192.168.1.1/ /x",
        "ADD https://example.com/redirects-to-localhost /x",
        "ADD https://github.com/user/repository.git /x",
        "ADD git@github.com:user/repository /x",
        f'ADD ["{URL}", "/x"]',
        'ADD ["\\u0068ttp://127.0.0.1/", "/x"]',
        f"ADD --chown=1000:1000 {URL} /x",
        f"ADD --checksum=sha256:00 {URL} /x",
        f"ADD a b {URL} /x",
        f'ADD "{URL}" /x',
        'ADD h"tt"p://127.0.0.1/ /x',
        "ADD h\\ttp://127.0.0.1/ /x",
        f"ADD \\\n  {URL} /x",
        f"AD\\\nD {URL} /x",
        "ADD http\\\n://127.0.0.1/ /x",
        f"ADD \\\n# a comment\n\n  {URL} /x",
        f"RUN a \\\\\nADD {URL} /x",
        f"RUN a \\\n  # indented \nADD {URL} /x",
        f"RUN <<EOF\nfoo \\\nEOF\nADD {URL} /x",
        f"ARG U={URL}\nADD $U /x",
        f"ENV U={URL}\nADD ${{U}} /x",
        "ENV H=ttp\nADD h$H://127.0.0.1/ /x",
        "ADD ${U:-http://127.0.0.1/} /x",
        'ADD ["$U", "/x"]',
        f'ADD ["a", NaN] {URL} /x',
        f'ADD ["a", Infinity, {URL} /x',
        'ADD ["\\u0068ttp\\u003a//127.0.0.1/", "/x"] and more',
        f"ONBUILD ADD {URL} /x",
        f"ONBUILD ONBUILD ADD {URL} /x",
        "RUN --network=host curl http://127.0.0.1",
        "RUN --security=insecure id",
        "RUN --mount=type=cache,target=/c --network=host id",
    ],
)
def test_a_dockerfile_has_the_engine_fetch_nothing(lines: str) -> None:
    for text in (FROM + lines, (FROM + lines).replace("\n", "\r\n"), f"\ufeff{FROM}{lines}\n"):
        with pytest.raises(ForbiddenError):
            examine(text)


def test_another_escape_character_hides_nothing() -> None:
    for directive in ("# escape=`\n", "#escape = `\n", "# syntax=x\n# ESCAPE=`\n"):
        with pytest.raises(ForbiddenError):
            examine(f"{directive}{FROM}RUN dir c:\\\nADD {URL} /x\n")
        with pytest.raises(ForbiddenError):
            examine(f"{directive}{FROM}ADD `\n{URL} /x\n")


def test_what_parts_a_line_for_python_alone_hides_nothing(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("a certificate")
    (tmp_path / "space").mkdir()
    (tmp_path / "space/Dockerfile").write_text(f"{FROM}RUN echo \x0cADD {URL} /x\n")
    drawn = draw(
        "space", read_repository(tmp_path / "space"), ImageSettings(ca_bundle=bundle), present=frozenset()
    )
    with drawn.context.tar as tar:
        built = tar.read().decode("utf-8", "replace")
    assert f"RUN echo \x0cADD {URL}" in built
    assert f"\nADD {URL}" not in built


@pytest.mark.parametrize(
    "lines",
    [
        "ADD model.tar.gz /models",
        "ADD app/$NAME /x",
        "ADD ./$NAME $HOME/x",
        'ADD ["a file", "/x"]',
        f"RUN curl {URL}",
        f"RUN apk \\\n  add {URL}",
        f"# ADD {URL} /x",
        f"ENV DOCS={URL}",
        "COPY . /home/user/app",
        "RUN --mount=type=cache,target=/root/.cache pip install x",
        "RUN --network=none make",
        f'CMD ["python", "-c", "ADD {URL}"]',
    ],
)
def test_a_usual_dockerfile_is_taken(lines: str) -> None:
    assert examine(FROM + lines).bases == {"python:3.11"}


@pytest.mark.parametrize(
    ("text", "bases", "copied"),
    [
        ("FROM a:1", {"a:1"}, set()),
        ("FROM scratch", set(), set()),
        ("from --platform=linux/amd64 a:1 as one\nFROM one", {"a:1"}, set()),
        ("FROM a AS One\nFROM b\nCOPY --from=one /x /x\nCOPY --from=0 /x /x", {"a", "b"}, set()),
        ("FROM a\nCOPY --from=spacedock/space-x:1 /x /x", {"a"}, {"spacedock/space-x:1"}),
        ('FROM a\nCOPY --from="spacedock/space-x:1" /x /x', {"a"}, {"spacedock/space-x:1"}),
        ("FROM a\nCOPY --chown=1:1 \\\n --from=b /x /x", {"a"}, {"b"}),
        ("FROM a\nADD --from=b /x /x", {"a"}, {"b"}),
        ("FROM a\nRUN --mount=type=bind,from=b,target=/b cp /b /c", {"a"}, {"b"}),
        ("FROM a\nRUN --mount='type=bind,from=b' cp /b /c", {"a"}, {"b"}),
        ("FROM a\nONBUILD COPY --from=b /x /x", {"a"}, {"b"}),
        ("FROM a AS later\nCOPY --from=soon /x /x\nFROM b AS soon", {"a", "b"}, {"soon"}),
        ("ARG V=3.11\nFROM python:$V", {"python:3.11"}, set()),
        ('ARG V="3.11" W\nFROM python:${V}${W}', {"python:3.11"}, set()),
        ("ARG B=spacedock/space-x\nARG T=${B}:1\nFROM ${T}", {"spacedock/space-x:1"}, set()),
        ("FROM ${B:-spacedock/space-x}", {"spacedock/space-x"}, set()),
        ("ARG B=1\nFROM ${B:+spacedock/space-x}", {"spacedock/space-x"}, set()),
        ("FROM spacedock/\\\nspace-x", {"spacedock/space-x"}, set()),
        ("FROM a\nARG V=1\nARG V=2\n", {"a"}, set()),
        ('ARG A="x B=python"\nFROM ${B:-spacedock/space-x}', {"spacedock/space-x"}, set()),
        ("ARG A='x B=python' C=1\nFROM a:$C", {"a:1"}, set()),
    ],
)
def test_the_images_that_it_wants_are_found(text: str, bases: set[str], copied: set[str]) -> None:
    wants = examine(text)
    assert (wants.bases, wants.copied) == (bases, copied)


@pytest.mark.parametrize(
    "text",
    [
        "FROM $X",
        "FROM",
        "ARG A=b\nARG A=spacedock/space-x\nFROM $A",
        "FROM ${A#b}",
        "FROM ${A:-${B}}",
        "FROM a/../containers/x",
        "FROM a?b",
        "FROM a\nCOPY --from=$X /x /x",
        "FROM [::1]:5000/x",
        "ARG K=B\nARG $K=spacedock/space-x\nFROM ${B:-python}",
        "ARG AB=python\nARG A=spacedock/\nFROM $A''B",
        'ARG AB=python\nARG A=spacedock/\nFROM $A""B',
        "ARG AB=python\nARG A=spacedock/\nFROM $A\\B",
        "ARG AB=python\nARG A=spacedock/\nARG C=$A''B\nFROM $C",
        "ARG A=x\\ B=python\nFROM ${B:-spacedock/space-x}",
        "ARG B=${TARGETARCH:+spacedock/space-x}\nFROM ${B:-python}",
        "ARG TARGETOS\nFROM ${TARGETOS:+spacedock/space-x}${TARGETOS:-a}",
        "FROM ${http_proxy:+spacedock/space-x}a",
        "ARG 1spacedock=me\nFROM $1spacedock/space-x",
        'ARG ["B=python"]"\nFROM ${B:-spacedock/space-x}',
        "ARG A\u00b2=python\nFROM ${A\u00b2:-spacedock/space-x}",
    ],
)
def test_an_image_whose_name_cannot_be_judged_is_refused(text: str) -> None:
    with pytest.raises(ForbiddenError):
        examine(text)


USUAL = {
    "the Hub's own example": (
        "FROM python:3.9\nRUN useradd -m -u 1000 user\nUSER user\n"
        'ENV PATH="/home/user/.local/bin:$PATH"\nWORKDIR /app\n'
        "COPY --chown=user ./requirements.txt requirements.txt\n"
        "RUN pip install --no-cache-dir --upgrade -r requirements.txt\nCOPY --chown=user . /app\n"
        'CMD ["uvicorn", "app:app", "--host", "0.0.0.0", "--port", "7860"]\n',
        {"python:3.9"},
    ),
    "CUDA, a comment within RUN": (
        "FROM nvidia/cuda:12.1.1-cudnn8-devel-ubuntu22.04\nARG DEBIAN_FRONTEND=noninteractive\n"
        "RUN apt-get update && \\\n    apt-get install -y git \\\n    # for models\n    wget\n",
        {"nvidia/cuda:12.1.1-cudnn8-devel-ubuntu22.04"},
    ),
    "uv's image copied from": (
        "FROM python:3.12-slim-bookworm\nCOPY --from=ghcr.io/astral-sh/uv:latest /uv /bin/\nRUN uv sync\n",
        {"python:3.12-slim-bookworm", "ghcr.io/astral-sh/uv:latest"},
    ),
    "uv's image, cache mounts": (
        "FROM ghcr.io/astral-sh/uv:python3.12-bookworm-slim\n"
        "RUN --mount=type=cache,target=/root/.cache/uv \\\n"
        "    --mount=type=bind,source=uv.lock,target=uv.lock \\\n    uv sync\n",
        {"ghcr.io/astral-sh/uv:python3.12-bookworm-slim"},
    ),
    "two ARGs": (
        "ARG PYTHON_VERSION=3.10\nARG VARIANT=slim\nFROM python:${PYTHON_VERSION}-${VARIANT}\n"
        "ARG PYTHON_VERSION\nRUN echo $PYTHON_VERSION\n",
        {"python:3.10-slim"},
    ),
    "an ARG's default in FROM": ("ARG BASE\nFROM ${BASE:-ubuntu:22.04}\n", {"ubuntu:22.04"}),
    "ARGs of ARGs": (
        "ARG CUDA=12.1.0\nARG UBUNTU=22.04\nARG IMG=nvidia/cuda:${CUDA}-base-ubuntu${UBUNTU}\nFROM $IMG\n",
        {"nvidia/cuda:12.1.0-base-ubuntu22.04"},
    ),
    "quoted": ('ARG TAG="3.11-slim"\nFROM "python:${TAG}"\n', {"python:3.11-slim"}),
    "in single quotes": (
        "ARG TAG='3.11-slim'\nFROM python:$TAG AS a\nFROM python:$TAG\n",
        {"python:3.11-slim"},
    ),
    "a variable and a quote at the end": ('ARG TAG=1\nARG B="a:$TAG"\nFROM "$B"\n', {"a:1"}),
    "node, then nginx": (
        "# syntax=docker/dockerfile:1\nFROM node:20-alpine AS build\nCOPY package*.json ./\nRUN npm ci\n"
        "FROM nginx:alpine\nCOPY --from=build /app/dist /usr/share/nginx/html\n",
        {"node:20-alpine", "nginx:alpine"},
    ),
    "stages of stages": (
        "FROM --platform=$BUILDPLATFORM node:18 AS base\nFROM base AS deps\nFROM base AS runner\n"
        "COPY --from=deps --chown=nextjs:nodejs /app ./\nCOPY --from=0 /x /x\n",
        {"node:18"},
    ),
    "miniconda": (
        'FROM continuumio/miniconda3\nSHELL ["/bin/bash", "-c"]\nRUN conda create -n x\n',
        {"continuumio/miniconda3"},
    ),
    "PyTorch": (
        "FROM pytorch/pytorch:2.1.0-cuda12.1-cudnn8-runtime\nRUN apt-get update\n",
        {"pytorch/pytorch:2.1.0-cuda12.1-cudnn8-runtime"},
    ),
    "NVIDIA's registry": ("FROM nvcr.io/nvidia/pytorch:23.10-py3\n", {"nvcr.io/nvidia/pytorch:23.10-py3"}),
    "R": ("FROM rocker/r-ver:4.2.2\nRUN R -e 'install.packages(\"shiny\")'\n", {"rocker/r-ver:4.2.2"}),
    "inference": (
        'FROM ghcr.io/huggingface/text-generation-inference:2.0\nCMD ["--model-id", "gpt2"]\n',
        {"ghcr.io/huggingface/text-generation-inference:2.0"},
    ),
    "llama.cpp, ADD of the folder": (
        "FROM ghcr.io/ggerganov/llama.cpp:full\nADD . /app\n",
        {"ghcr.io/ggerganov/llama.cpp:full"},
    ),
    "ADD of local files": (
        "FROM ubuntu:22.04\nADD --chown=1000:1000 start.sh /start.sh\nADD assets.tar.gz /a\n"
        "ADD httpd.conf /etc/\nADD ./web/http/ /h\nADD git /g\n",
        {"ubuntu:22.04"},
    ),
    "Streamlit's health check": (
        "FROM python:3.9-slim\nHEALTHCHECK CMD curl --fail http://localhost:8501/\n",
        {"python:3.9-slim"},
    ),
    "a digest": (f"FROM python@sha256:{'a' * 64} AS x\n", {f"python@sha256:{'a' * 64}"}),
    "a registry's name in full": ("FROM docker.io/library/python:3.11\n", {"docker.io/library/python:3.11"}),
    "Go to distroless": (
        "FROM golang:1.21 as build\nFROM gcr.io/distroless/base-debian12\nCOPY --link --from=build /a /\n",
        {"golang:1.21", "gcr.io/distroless/base-debian12"},
    ),
    "a secret": (
        "FROM python:3.11\nRUN --mount=type=secret,id=T,mode=0444,required=true cat /run/secrets/T\n",
        {"python:3.11"},
    ),
    "a version of uv as a stage": (
        "ARG V=0.4.0\nFROM ghcr.io/astral-sh/uv:$V AS uv\nFROM python:3.11\nCOPY --from=uv /uv /bin/uv\n",
        {"ghcr.io/astral-sh/uv:0.4.0", "python:3.11"},
    ),
    "busybox copied from, Windows' line ends": (
        "FROM python:3.11\r\nRUN a \\\r\n && b\r\nCOPY --from=busybox:uclibc /bin/sh /s\r\n",
        {"python:3.11", "busybox:uclibc"},
    ),
    "scratch": ("FROM alpine AS a\nFROM scratch\nCOPY --from=a /x /\n", {"alpine"}),
}
"""Dockerfiles as Spaces have them, and the images that they want."""


@pytest.mark.parametrize(("text", "images"), USUAL.values(), ids=USUAL)
def test_usual_dockerfiles_are_admitted(text: str, images: set[str]) -> None:
    wants = examine(text)
    assert wants.bases | wants.copied == images


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("ADD https://example.com/model.bin /x", "fetch it by RUN (curl"),
        ("ADD https://github.com/a/b.git /x", "git clone"),
        ("ADD $FILE /x", "use COPY"),
    ],
)
def test_what_is_refused_says_what_to_write_instead(line: str, instead: str) -> None:
    with pytest.raises(ForbiddenError) as caught:
        examine(FROM + line)
    assert instead in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "ARG a{next}=$a{this}$a{this}",
        "ENV a{next} ${{a{this}}}${{a{this}}}",
        "ENV x=1 a{next}=$a{this}$a{this}",
    ],
)
@pytest.mark.parametrize("begun", ["", "FROM python:3.11\n"])
def test_variables_that_grow_by_one_another_are_refused(line: str, begun: str) -> None:
    grown = "".join(line.format(this=number, next=number + 1) + "\n" for number in range(40))
    with pytest.raises(ForbiddenError, match="write"):
        examine(f"{begun}ARG a0=xx\n{grown}FROM $a40\n")


def test_variables_that_grow_within_reason_are_taken() -> None:
    grown = "".join(f"ENV PATH=/opt/tool-{number}/bin:$PATH\n" for number in range(40))
    assert examine(f"ARG VERSION=3.11\nFROM python:$VERSION\n{grown}").bases == {"python:3.11"}


def test_what_a_base_triggers_is_judged_as_well() -> None:
    with pytest.raises(ForbiddenError, match="ONBUILD"):
        examine_triggers("a", [f"ADD {URL} /x"])
    assert examine_triggers("a", ["COPY --from=b /x /x", "RUN make"]).copied == {"b"}


@given(st.text(st.sampled_from("ADFROMCPY \\`\n\t$\"'[]{}-=:/#\ufeffx\x0c\x85"), max_size=200))
def test_no_text_is_trouble(text: str) -> None:
    with suppress(ForbiddenError):
        examine(text)


@pytest.mark.parametrize(
    "line", ["ONBUILD " * 20_000, "RUN " + "--a" * 60_000, "x \\\n" * 60_000, 'ADD "' * 40_000, "$" * 200_000]
)
def test_a_long_dockerfile_is_judged_soon(line: str) -> None:
    with suppress(ForbiddenError):
        examine(f"FROM a\n{line}")


def test_a_dockerfile_beyond_what_is_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(FROM + "#" * MAX_BYTES + f"\nADD {URL} /x\n")
    with pytest.raises(StepError) as caught:
        draw("space", read_repository(tmp_path), ImageSettings(), present=frozenset())
    assert caught.value.kind is ErrorKind.UNSUPPORTED


@pytest.mark.parametrize(
    ("found", "taken"),
    [
        ({"RepoTags": ["python:3.11"], "RepoDigests": ["python@sha256:1"]}, True),
        ({"RepoTags": ["mine:1"], "RepoDigests": []}, False),
        ({"RepoTags": None, "RepoDigests": None}, False),
        ({"RepoTags": ["spacedock/space-x:1"], "RepoDigests": ["spacedock/space-x@sha256:1"]}, False),
        (
            {"RepoTags": ["localhost/spacedock/space-x:1"], "RepoDigests": ["localhost/spacedock/space-x@s"]},
            False,
        ),
        (
            {"RepoTags": ["a:1"], "RepoDigests": ["a@s"], "Config": {"Labels": {"io.spacedock.space": "x"}}},
            False,
        ),
    ],
)
def test_images_of_this_host_are_not_for_strangers(found: dict[str, Any], taken: bool) -> None:
    assert (why_not(found) is None) is taken


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("0.0.0.0", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("169.254.169.254", True),
        ("fe80::1%1", True),
        ("224.0.0.1", True),
        ("93.184.216.34", False),
        ("192.0.2.1", False),
    ],
)
def test_addresses_that_lead_here_are_known(address: str, here: bool) -> None:
    assert is_here(address) is here


def test_this_hosts_own_address_leads_here() -> None:
    own = socket.gethostbyname(socket.gethostname())
    assert is_here(own)
