"""The Dockerfile that a Gradio Space gets, and what is said while it is built."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from spacedock.result import ErrorKind
from spacedock_worker.errors import StepError
from spacedock_worker.images.build.blueprint import Blueprint, draw
from spacedock_worker.images.build.dockerfile import (
    CA_NAME,
    Recipe,
    dockerfile,
    dockerfile_text,
    gradio_packages,
    trusting,
)
from spacedock_worker.images.build.features import features
from spacedock_worker.images.build.repository import read_repository
from spacedock_worker.images.settings import ImageSettings


def text(**fields: object) -> str:
    given = {"base": "base:1", "sdk_version": "6.31.0", "app_file": "app.py", "files": ("app.py",)} | fields
    return dockerfile_text(dockerfile(Recipe(**given)))  # type: ignore[arg-type]


def test_what_spaces_share_comes_first_and_the_app_last() -> None:
    made = text(
        files=("app.py", "requirements.txt", "pre-requirements.txt"), packages=("espeak-ng",), ca=True
    )
    order = [
        "FROM base:1",
        "spacedock-ca.pem",
        "--progress-bar=off 'gradio[oauth,mcp]==6.31.0' spaces",
        "-- espeak-ng",
        "-r /tmp/pre-requirements.txt\n",
        "-r /tmp/requirements.txt 'gradio[oauth,mcp]==6.31.0'\n",
        "COPY --chown=1000:1000 app/ /home/user/app/",
        'CMD ["python", "app.py"]',
    ]
    places = [made.index(part) for part in order]
    assert places == sorted(places)


def test_the_image_is_like_the_hubs() -> None:
    made = text()
    for part in (
        "--uid 1000",
        "HOME=/home/user",
        "WORKDIR /home/user/app",
        "SYSTEM=spaces",
        "GRADIO_NUM_PORTS=1",
        # A volume that is mounted there takes the folder's owner.
        "install -d -o 1000 -g 1000 /home/user /home/user/app /home/user/.cache",
    ):
        assert part in made
    assert made.rindex("USER 1000") > made.rindex("USER root")


def test_apps_of_gradio_3_have_a_queue_unless_they_refuse_it() -> None:
    made = text(sdk_version="3.50.2", files=("app.py", "requirements.txt"))
    assert "self.enable_queue is not False" in made
    assert made.index("-r /tmp/requirements.txt") < made.index("enable_queue") < made.index("COPY --chown")
    assert "enable_queue" not in text(sdk_version="4.0.2")
    assert "enable_queue" not in text(sdk_version=None)


def test_without_a_ca_bundle_none_is_named() -> None:
    assert "PIP_CERT" not in text()


def test_package_names_cannot_leave_their_command() -> None:
    assert "-- '$(id)' ';reboot'" in text(packages=("$(id)", ";reboot"))


@pytest.mark.parametrize("version", ["6; id", "latest", "6\nRUN id", ""])
def test_a_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="no version"):
        gradio_packages(version)


def test_old_versions_of_gradio_are_held_together() -> None:
    assert "pydantic<2" in gradio_packages("3.35.2")
    assert gradio_packages("3.50.2") == ("gradio==3.50.2", "starlette<1", "huggingface_hub<1")
    assert "pydantic<2.11" in gradio_packages("4.44.1")
    assert "starlette<1" in gradio_packages("5.1.0")
    assert "gradio_client<0.7" in gradio_packages("3.40.1")
    assert set(gradio_packages("5.6.0")[1:]) == {"pydantic<2.11", "huggingface_hub<1"}
    assert gradio_packages("5.9.1")[1:] == gradio_packages("5.21.0")[1:] == ("pydantic<2.11",)
    assert gradio_packages("5.22.0") == ("gradio[oauth]==5.22.0",)
    assert gradio_packages("5.50.0") == ("gradio[oauth,mcp]==5.50.0",)
    assert gradio_packages(None) == ("gradio[oauth,mcp]",)


def drawn(folder: Path, **files: str) -> Blueprint:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    blueprint = draw("My Space", read_repository(folder), ImageSettings(), {"spacedock/python:3.11"})
    blueprint.context.tar.close()
    return blueprint


def test_a_tag_is_made_of_the_name_and_the_content(tmp_path: Path) -> None:
    first = drawn(tmp_path, app_py="1", README_md="---\nsdk: gradio\nsdk_version: 6.31.0\n---\n")
    assert first.tag.startswith("spacedock/space-my-space:")
    assert first.tag == drawn(tmp_path).tag != drawn(tmp_path, app_py="2").tag


def test_a_docker_space_brings_its_own_dockerfile_and_port(tmp_path: Path) -> None:
    own = drawn(tmp_path, Dockerfile="FROM x", README_md="---\nsdk: docker\napp_port: 8080\n---\n")
    assert (own.base, own.port, own.words) == (None, 8080, ())


@pytest.mark.parametrize("sdk", ["streamlit", "static"])
def test_a_space_without_an_api_is_unsupported(tmp_path: Path, sdk: str) -> None:
    with pytest.raises(StepError, match=rf"(?i){sdk}|static page") as caught:
        drawn(tmp_path, app_py="", README_md=f"---\nsdk: {sdk}\n---\n")
    assert caught.value.kind is ErrorKind.UNSUPPORTED


def test_a_space_without_its_app_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"no main\.py"):
        drawn(tmp_path, app_py="", README_md="---\nsdk: gradio\napp_file: main.py\n---\n")


def test_an_app_file_is_found_however_it_is_written(tmp_path: Path) -> None:
    card = "---\nsdk: gradio\nsdk_version: null\napp_file: ./app.py\nstartup_duration_timeout: 1h\n---\n"
    assert drawn(tmp_path, app_py="", README_md=card).start_seconds == 3600


@pytest.mark.parametrize(("said", "there"), [("true", True), ("True", True), ("false", False), ("3", False)])
def test_visitors_are_anonymous_where_they_can_sign_in_on_the_hub(
    tmp_path: Path, said: str, there: bool
) -> None:
    card = f"---\nsdk: gradio\nhf_oauth: {said}\n---\n"
    (tmp_path / "app.py").write_text("")
    (tmp_path / "README.md").write_text(card)
    assert ("OAUTH_CLIENT_ID=" in dockerfile_of(tmp_path)) is there
    (tmp_path / "README.md").write_text(card.replace("gradio", "docker"))
    (tmp_path / "Dockerfile").write_text("FROM x\nCMD y \\\n")
    own = dockerfile_of(tmp_path).splitlines()
    assert [line.split("=")[0] for line in own[2:]] == (["ENV OAUTH_CLIENT_ID"] if there else [])


def dockerfile_of(repository: Path) -> str:
    context = draw("x", read_repository(repository), ImageSettings(), {"spacedock/python:3.11"}).context
    with context.tar, tarfile.open(fileobj=context.tar) as archive:
        file = archive.extractfile("Dockerfile")
        assert file is not None
        return file.read().decode()


def test_a_dockerfile_that_is_a_link_is_examined(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "main").write_text("FROM x\nADD http://127.0.0.1/ /\n")
    (tmp_path / "Dockerfile").symlink_to("docker/main")
    with pytest.raises(StepError, match="ADD"):
        drawn(tmp_path, README_md="---\nsdk: docker\n---\n")


def test_what_a_dockerignore_names_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("*.env\nDockerfile\n")
    files = {
        "Dockerfile": "FROM x\nCOPY . .\n",
        "local_env": "TOKEN=mine",
        "README_md": "---\nsdk: docker\n---\n",
    }
    for name, content in files.items():
        (tmp_path / name.replace("_", ".")).write_text(content)
    context = draw("x", read_repository(tmp_path), ImageSettings(), ()).context
    with context.tar, tarfile.open(fileobj=context.tar) as archive:
        assert sorted(archive.getnames()) == [".dockerignore", "Dockerfile", "README.md"]


def test_a_ca_bundle_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    settings = ImageSettings(ca_bundle=tmp_path / "none.pem")
    with pytest.raises(StepError, match="ca_bundle"):
        draw("x", read_repository(tmp_path), settings, ())


def test_a_spaces_own_dockerfile_trusts_the_ca_in_every_stage() -> None:
    text = "FROM python:3.11 \\\n  AS build\nRUN pip install x\nFROM python:3.11\nCOPY . .\n"
    lines = trusting(text).splitlines()
    copies = [number for number, line in enumerate(lines) if line.startswith(f"COPY {CA_NAME}")]
    assert copies == [2, 6]


def test_no_ca_lands_inside_a_here_document() -> None:
    text = "FROM a\nRUN cat <<'END' > /x\nFROM b\nEND\nFROM c\n"
    lines = trusting(text).splitlines()
    assert lines[lines.index("FROM b") + 1] == "END"
    assert sum(line.startswith(f"COPY {CA_NAME}") for line in lines) == 2


def test_a_here_document_without_an_end_hides_no_stage() -> None:
    assert trusting("FROM a\nRUN echo '<<END'\nRUN cat <<END\nFROM b").count(f"COPY {CA_NAME}") == 2


@pytest.mark.parametrize(
    ("line", "feature"),
    [
        ("RUN cat <<EOF > x\nEOF", "here-document"),
        ("RUN --mount=type=secret,id=A true", "RUN --mount"),
        ("copy --chmod=755 a b", "COPY --chmod"),
        ("RUN cat <<< x", ""),
        ("RUN echo 1", ""),
    ],
)
def test_what_only_buildkit_builds_is_found(line: str, feature: str) -> None:
    found = features(f"FROM x\n{line}\n").words
    assert feature in found
    assert bool(found) == bool(feature)
