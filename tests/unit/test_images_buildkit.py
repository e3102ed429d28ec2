"""What takes BuildKit, what it may be asked for, and the walls of the container that it builds in."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from spacedock.result import ErrorKind
from spacedock_worker.errors import StepError
from spacedock_worker.images.build.admission import ForbiddenError, examine
from spacedock_worker.images.build.blueprint import Blueprint, draw
from spacedock_worker.images.build.build import BuildLimits
from spacedock_worker.images.build.buildkit import BuildKitJob, Hearing, create_body
from spacedock_worker.images.build.context import BuildContext
from spacedock_worker.images.build.features import built_in, check_frontend, features
from spacedock_worker.images.build.instructions import as_buildkit, heredoc_lines
from spacedock_worker.images.build.repository import read_repository
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import is_for

FROM = "FROM python:3.11\n"
SECRET = "RUN --mount=type=secret,id=API_KEY,required=true true\n"


def inside(text: str) -> list[str]:
    return [line for line, within in heredoc_lines(text) if within]


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("RUN <<EOF\nFROM b\nEOF\nUSER x", ["FROM b", "EOF"]),
        ("run cat <<'END' > /x\n  END\nEND\n", ["  END", "END"]),
        ("RUN <<-EOF\n\tADD a\n\t\tEOF\nCMD x", ["\tADD a", "\t\tEOF"]),
        ("RUN a && \\\n  # comment\n  cat <<X\nbody \\\nX\nCMD x", ["body \\", "X"]),
        ("COPY <<one <<two /x/\n1\none\n2\ntwo\nCMD x", ["1", "one", "2", "two"]),
        ("ONBUILD RUN <<E\nx\nE", ["x", "E"]),
        ('RUN 3<<"E O" cat\nx\nE O', ["x", "E O"]),
        ("RUN <<EOF\r\nx\r\nEOF\r\nCMD x", ["x\r", "EOF\r"]),
        ("RUN cat <<EOF\nFROM b", []),
        ("RUN cat <<< EOF\nEOF", []),
        ("RUN echo '<<EOF'\nEOF", []),
        ("CMD <<EOF\nEOF", []),
        ("# RUN <<EOF\nEOF", []),
    ],
)
def test_here_documents_are_read_as_buildkit_reads_them(text: str, body: list[str]) -> None:
    assert inside(text) == body


def test_what_is_in_a_here_document_is_no_instruction() -> None:
    text = FROM + "RUN python3 <<EOF\nfrom transformers import pipeline\nADD http://a b\nEOF\nUSER x\n"
    assert [one.name for one in as_buildkit(text)] == ["FROM", "RUN", "USER"]
    assert examine(text, by_buildkit=True).bases == {"python:3.11"}


@pytest.mark.parametrize(
    ("lines", "words", "strict"),
    [
        ("RUN --mount=type=cache,target=/c true", "RUN --mount", True),
        ("RUN --network=none true", "RUN --network", True),
        ("COPY --link a b", "COPY --link", True),
        ("copy --chown=1 --chmod=755 a b", "COPY --chmod", True),
        ("ADD --chmod=755 a b", "ADD --chmod", True),
        ("COPY <<E /x\nE", "a here-document (<<)", True),
        ("FROM --platform=$BUILDPLATFORM a", "FROM with the builder's own variables", True),
        ("USER user\nWORKDIR $HOME/app", "WORKDIR after USER", False),
        ("FROM a AS one\nUSER 1000\nFROM one\nWORKDIR /x", "WORKDIR after USER", False),
        ("USER user\nFROM b\nWORKDIR /x", "", False),
        ("USER user\nUSER root\nWORKDIR /x", "", False),
        ("USER 0:0\nWORKDIR /x", "", False),
        ("WORKDIR /x\nUSER user", "", False),
        ("COPY --from=a --chown=1 b c", "", False),
        ("HEALTHCHECK --interval=1s CMD x", "", False),
    ],
)
def test_what_takes_buildkit_is_found(lines: str, words: str, strict: bool) -> None:
    found = features(FROM + lines + "\n")
    assert (found.words, found.strict) == (words, strict)


def test_the_secrets_of_its_steps_are_found() -> None:
    text = FROM + (
        "RUN --mount=type=secret,id=A,required=true --mount=type=secret,id=B true\n"
        "RUN --mount=type=secret,target=/etc/C,required true\n"
        "RUN --mount=type=secret,id=A --mount=type=cache,id=D,target=/d true\n"
        "RUN <<E\nRUN --mount=type=secret,id=F\nE\n"
    )
    assert features(text).secrets == {"A": True, "B": False, "C": True}


@pytest.mark.parametrize(
    "lines",
    [
        "ADD http://127.0.0.1/x /x",
        "ADD git@github.com:user/repository /x",
        "RUN --network=host true",
        "RUN --security=insecure true",
        "RUN --device=nvidia.com/gpu=all true",
        "RUN --mount=type=ssh git clone x",
        "RUN --mount=type=bind,from=$X,target=/x true",
        "COPY --link --from=$X /x /x",
        "RUN <<E\nE\nADD http://127.0.0.1/x /x",
        "RUN <<E \\\n  \nE\nADD http://127.0.0.1/x /x",
    ],
)
def test_buildkit_is_asked_for_no_more_than_others(lines: str) -> None:
    with pytest.raises(ForbiddenError):
        examine(FROM + lines + "\n", by_buildkit=True)


def test_images_that_mounts_and_copies_name_are_looked_at() -> None:
    text = FROM + "RUN --mount=type=bind,from=a:1,target=/a true\nCOPY --link --from=b:1 /b /b\n"
    assert examine(text, by_buildkit=True).copied == {"a:1", "b:1"}


@pytest.mark.parametrize(
    "head",
    [
        "# syntax=evil/frontend\n",
        "#SYNTAX = docker/dockerfile.evil.example/x\n",
        "# escape=`\n# syntax=ghcr.io/docker/dockerfile:1\n",
        "// syntax=evil/frontend\n",
        '{"syntax": "evil/frontend"}\n',
        "\ufeff# syntax=evil/frontend\n",
        "\n# syntax=docker/dockerfilex\n",
    ],
)
def test_no_other_program_reads_a_dockerfile(head: str) -> None:
    with pytest.raises(ForbiddenError):
        check_frontend(head + FROM)


@pytest.mark.parametrize("name", ["docker/dockerfile:1", "docker.io/docker/dockerfile:1.7-labs"])
def test_dockers_own_is_the_one_that_buildkit_has_built_in(name: str) -> None:
    text = f"# syntax={name}\n# check=skip=all\n{FROM}RUN cat <<E\n# syntax=x/y\nE\n"
    check_frontend(text)
    assert built_in(text) == text.replace(f"# syntax={name}", f"# syntax was={name}")


def drawn(folder: Path, name: str, *secrets: str, dockerfile: str = FROM + SECRET) -> Blueprint:
    (folder / "README.md").write_text("---\nsdk: docker\n---\n")
    (folder / "Dockerfile").write_text(dockerfile)
    blueprint = draw(name, read_repository(folder), ImageSettings(), (), secrets)
    blueprint.context.tar.close()
    return blueprint


def test_a_build_gets_the_secrets_that_it_mounts_and_no_others(tmp_path: Path) -> None:
    assert drawn(tmp_path, "space", "API_KEY", "OTHER").secrets == {"API_KEY"}


def test_a_secret_that_the_space_has_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="the secret API_KEY") as caught:
        drawn(tmp_path, "space", "OTHER")
    assert (caught.value.kind, caught.value.ours) == (ErrorKind.UNSUPPORTED, True)
    assert "`secrets: [API_KEY]`" in str(caught.value)


def test_what_is_built_with_secrets_is_nobody_elses(tmp_path: Path) -> None:
    optional = FROM + "RUN --mount=type=secret,id=API_KEY true\n"
    mine = drawn(tmp_path, "My-Space", "API_KEY", dockerfile=optional).tag
    assert mine == drawn(tmp_path, "My-Space", "API_KEY", dockerfile=optional).tag
    assert mine != drawn(tmp_path, "my.space", "API_KEY", dockerfile=optional).tag
    assert mine != drawn(tmp_path, "My-Space", dockerfile=optional).tag
    labels = {"Labels": {"io.spacedock.built-with-secrets-of": "My-Space"}}
    assert is_for("My-Space", labels)
    assert not is_for("", labels)
    assert not is_for("other", labels)


def test_the_container_of_a_build_has_its_walls() -> None:
    job = BuildKitJob("builder", BuildContext(BytesIO(), ""), "tag", {"a": "b"}, (), {"KEY": "v4lue"}, "me")
    body = create_body(job, BuildLimits(10.0, 2**28, "builds"))
    host = body["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["NetworkMode"]) == (2**28, 2**28, "builds")
    assert host["PidsLimit"] > 0
    assert "Privileged" not in host
    assert not {"Binds", "Mounts", "Devices", "VolumesFrom"} & set(host)
    assert host["CapDrop"] == ["ALL"]
    assert {"SYS_ADMIN", "NET_ADMIN"} <= set(host["CapAdd"])
    assert not {"SYS_MODULE", "SYS_RAWIO", "SYS_PTRACE", "DAC_READ_SEARCH"} & set(host["CapAdd"])
    assert body["Labels"] == {"io.spacedock.owner": "me"}
    # In the environment, as a Space's own: not on a command line, which is listed.
    assert "v4lue" not in str(body["Cmd"]) + str(body["Entrypoint"])
    assert "--secret=id=KEY,env=SPACEDOCK_SECRET_0" in body["Cmd"]


def test_what_buildkit_says_is_told_step_by_step() -> None:
    told: list[str] = []
    hearing = Hearing(told.append)
    for piece in (
        "#1 [internal] load build definition from Dockerfile\n#5 [stage-1 2/",
        "4] RUN one\n#5 0.293 said one\n#5 DONE 0.3s\n#6 [3/4] RUN two\n#6 0.1 #9 [1/1] no step",
        "\n#5 0.4 said more\n#7 [other 2/2] RUN x\n#7 0.1 beside it\n#6 0.2 the end",
        '\n#6 ERROR: process "two" did not complete successfully: exit code: 1\n------\n',
        'ERROR: failed to solve: process "two" did not complete successfully: exit code: 1\n',
    ):
        hearing.hear(piece)
    assert told == ["step 2/4: RUN one", "step 3/4: RUN two", "step 2/2: RUN x"]
    assert hearing.said == ["#9 [1/1] no step", "the end"]
    assert hearing.error == 'process "two" did not complete successfully: exit code: 1'
