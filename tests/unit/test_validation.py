"""Judging a Space by what was found out about it: each check, and the verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from spacedock.cli.commands.spaces.validate import lines
from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.machine.capacity import EngineInfo, Machine
from spacedock_worker.containers.machine.gpu import Device
from spacedock_worker.containers.pool.view import SpaceStatus
from spacedock_worker.errors import HostBusyError, StepError
from spacedock_worker.hub.space import HubSpace
from spacedock_worker.images.hub_errors import HubSilentError
from spacedock_worker.images.oci.manifest import Platform
from spacedock_worker.images.oci.survey import Availability, Offer
from spacedock_worker.images.source import Image
from spacedock_worker.registry.entry import SpaceEntry, Verdict
from spacedock_worker.validation.findings import _told_by, binds_inside
from spacedock_worker.validation.smoke_test import letter, picture, samples, sound
from spacedock_worker.validation.static_checks import checks_of
from spacedock_worker.validation.verdict import Check, Findings, HubCheck, Mark, verdict

GB = 2**30
NOW = datetime(2025, 1, 2, 3, 4, tzinfo=UTC)
INFO = {"OSType": "linux", "Architecture": "x86_64"}
HOST = EngineInfo(version="20.10", info=INFO, machine=Machine(8 * GB, True), budget=6 * GB, disk_free=10 * GB)
HERE = Image("h.io/me/x:1", "sha256:1")
THERE = Offer("h.io/me/x:1", Availability.THERE, digest="sha256:2", size=GB, platforms=(Platform(),))
MISSING = replace(THERE, standing=Availability.MISSING, size=None, platforms=(), tags=("cpu-1234567",))
REFUSED = replace(MISSING, standing=Availability.REFUSED, tags=())
SILENT = replace(MISSING, standing=Availability.SILENT, why="it cannot be reached", tags=())
HUB = HubCheck(HubSpace("m/x", sdk="gradio", stage="RUNNING", hardware="cpu-basic"))
AWAY = HubCheck(why="no answer within 5 s")
NONE = HubCheck(missing=True, why="the Hub has no such Space")
GPU = Device(0, "GPU-0", 80 * GB, 80 * GB)


def entry(**fields: Any) -> SpaceEntry:
    return SpaceEntry(id="x", **fields)


def found(about: SpaceEntry | None = None, **more: Any) -> Findings:
    fields: dict[str, Any] = {"host": HOST, "memory": 2 * GB, "runs": lambda name: name == "linux/amd64"}
    return Findings(entry=about or entry(docker_image="h.io/me/x:1"), **fields | more)


def check(findings: Findings, name: str) -> Check | None:
    return next((one for one in checks_of(findings) if one.name == name), None)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import x\n  demo.launch(server_name='127.0.0.1')\n", "demo.launch(server_name='127.0.0.1')"),
        (
            'uvicorn.run(app, host = "localhost", port=7860)',
            'uvicorn.run(app, host = "localhost", port=7860)',
        ),
        (
            'CMD ["uvicorn", "app:app", "--host", "127.0.0.1"]',
            'CMD ["uvicorn", "app:app", "--host", "127.0.0.1"]',
        ),
        ("CMD uvicorn app:app --host=127.0.0.1", "CMD uvicorn app:app --host=127.0.0.1"),
        ('demo.launch(server_name="0.0.0.0")  # not host="127.0.0.1"', None),
        ('redis.Redis(host="localhost")', None),
        ("", None),
    ],
)
def test_an_app_that_listens_for_its_own_container_alone_is_seen(text: str, line: str | None) -> None:
    assert binds_inside(text) == line


@pytest.mark.parametrize(
    ("card", "file", "told"),
    [
        (
            "sdk: gradio\napp_file: main.py",
            "main.py",
            ("gradio", "main.py: x.launch(server_name='127.0.0.1')"),
        ),
        ("sdk: gradio", "main.py", ("gradio", None)),
        ("sdk: docker", "Dockerfile", ("docker", "Dockerfile: x.launch(server_name='127.0.0.1')")),
    ],
)
def test_the_file_that_starts_a_repositorys_app_is_looked_at(
    tmp_path: Path, card: str, file: str, told: tuple[str, str | None]
) -> None:
    (tmp_path / "README.md").write_text(f"---\n{card}\n---\n")
    (tmp_path / file).write_text("x.launch(server_name='127.0.0.1')\n")
    assert _told_by(str(tmp_path)) == told


def test_the_line_by_which_an_app_hides_is_told() -> None:
    told = check(found(binds="app.py: demo.launch(server_name='127.0.0.1')"), "address")
    assert told is not None
    assert (told.mark, "app.py: demo.launch" in told.reason) == (Mark.UNKNOWN, True)
    assert check(found(), "address") is None


@pytest.mark.parametrize(
    ("fields", "more", "mark", "words"),
    [
        ({"docker_image": "i"}, {"here": HERE}, "ok", "is on this host"),
        ({"docker_image": "i"}, {"offer": THERE}, "ok", "can be pulled, 1.1 GB to download"),
        ({"docker_image": "i"}, {"offer": MISSING}, "bad", "it has the tags cpu-1234567"),
        ({"docker_image": "i"}, {"offer": REFUSED}, "bad", "only with a login"),
        ({"docker_image": "i"}, {"offer": replace(REFUSED, login=True)}, "bad", "refuses this host's login"),
        ({"docker_image": "i"}, {"offer": SILENT}, "unknown", "could not be asked: it cannot be reached"),
        ({"docker_image": "i", "hub_id": "m/x"}, {"offer": MISSING, "hub": HUB}, "ok", "it is built from"),
        ({"docker_image": "i", "hub_id": "m/x"}, {"offer": MISSING, "hub": NONE}, "bad", "no such Space"),
        ({"docker_image": "i", "hub_id": "m/x"}, {"offer": SILENT, "hub": NONE}, "unknown", "could not"),
        ({"hub_id": "m/x"}, {"offer": REFUSED, "hub": HUB}, "ok", "built from its repository on the Hub"),
        ({"hub_id": "m/x", "revision": "abc"}, {"hub": HUB}, "ok", "on the Hub at abc"),
        ({"hub_id": "m/x"}, {"offer": SILENT, "hub": AWAY}, "unknown", "cannot be built: no answer"),
        ({"hub_id": "m/x"}, {"offer": MISSING, "hub": NONE}, "bad", "the Hub has no such Space"),
        ({"hub_id": "m/x"}, {"hub": replace(HUB, stale=True, why="3 d old")}, "unknown", "if that can be"),
        ({"repository": "/x"}, {}, "ok", "its repository on this host"),
        ({}, {}, "bad", "names no image and no repository"),
    ],
)
def test_an_image_is_here_or_there_or_built(fields: Any, more: Any, mark: str, words: str) -> None:
    image = check(found(entry(**fields), **more), "image")
    assert image is not None
    assert (image.mark.value, words in image.reason) == (mark, True), image


def test_a_repository_that_cannot_be_built_says_why() -> None:
    trouble = StepError(Stage.BUILD, ErrorKind.REPOSITORY_UNAVAILABLE, "there is no directory /x")
    image = check(found(entry(repository="/x"), trouble=trouble), "image")
    assert image is not None
    assert (image.mark, image.reason) == (Mark.BAD, "there is no directory /x")


@pytest.mark.parametrize(("sdk", "mark"), [("gradio", "ok"), ("docker", "ok"), ("static", "bad")])
def test_only_spaces_with_something_to_call_are_supported(sdk: str, mark: str) -> None:
    said = check(found(entry(hub_id="m/x"), hub=HubCheck(HubSpace("m/x", sdk=sdk))), "sdk")
    assert said is not None
    assert said.mark.value == mark


@pytest.mark.parametrize(
    ("facts", "token", "mark", "words"),
    [
        (HubSpace("m/x"), False, "ok", "open to all"),
        (HubSpace("m/x", gated=True), False, "bad", "gated"),
        (HubSpace("m/x", gated=True), True, "unknown", "gated"),
        (HubSpace("m/x", private=True), True, "ok", "this host's token reads it"),
        (HubSpace("m/x", stage="PAUSED"), False, "ok", "paused on the Hub"),
        (HubSpace("m/x", stage="RUNTIME_ERROR"), False, "unknown", "fails on the Hub itself"),
        (HubSpace("m/x", stage="NO_APP_FILE"), False, "bad", "no app"),
    ],
)
def test_what_the_hub_says_counts(facts: HubSpace, token: bool, mark: str, words: str) -> None:
    said = check(found(entry(hub_id="m/x"), hub=HubCheck(facts, token=token)), "hub")
    assert said is not None
    assert (said.mark.value, words in said.reason) == (mark, True), said


def test_a_space_that_left_the_hub_may_still_be_here() -> None:
    assert verdict(checks_of(found(entry(hub_id="m/x"), hub=NONE, here=HERE)), NOW, None, deep=False).works  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "offer", "mark"),
    [
        ({}, THERE, "ok"),
        ({}, replace(THERE, platforms=(Platform("linux", "arm64"),), fits=False), "bad"),
        ({}, replace(THERE, platforms=(Platform("linux", "arm64"),)), "bad"),
        ({}, replace(THERE, platforms=()), "unknown"),
        ({"platform": "linux/arm64"}, THERE, "bad"),
        ({"platform": "linux/amd64"}, THERE, "ok"),
    ],
)
def test_an_image_is_for_a_platform_that_runs_here(fields: Any, offer: Offer, mark: str) -> None:
    said = check(found(entry(docker_image="i", **fields), offer=offer), "platform")
    assert said is not None
    assert said.mark.value == mark


def test_a_download_must_fit_on_the_disk() -> None:
    marks = [
        said.mark
        for size in (GB, 6 * GB)
        if (said := check(found(offer=replace(THERE, size=size)), "disk")) is not None
    ]
    assert marks == [Mark.OK, Mark.BAD]


def test_memory_must_fit_in_what_this_host_gives() -> None:
    marks = [said.mark for memory in (2, 7) if (said := check(found(memory=memory * GB), "memory"))]
    assert marks == [Mark.OK, Mark.BAD]


@pytest.mark.parametrize(
    ("fields", "gpus", "refused", "mark"),
    [
        ({}, (), None, None),
        ({"gpu": "auto"}, (), None, "ok"),
        ({"gpu": 1}, (GPU,), None, "ok"),
        ({"gpu": 1}, (), StepError(Stage.START, ErrorKind.UNSUPPORTED, "none"), "bad"),
        ({"gpu": 1}, (GPU,), HostBusyError(Stage.START, ErrorKind.START_FAILED, "full"), "unknown"),
        ({"hardware": "cpu-upgrade"}, (), None, None),
        ({"hardware": "t4-small"}, (), None, "unknown"),
        ({"hardware": "zero-a10g"}, (GPU,), None, "unknown"),
    ],
)
def test_gpus_must_be_there_where_they_are_wanted(fields: Any, gpus: Any, refused: Any, mark: str) -> None:
    said = check(found(entry(**fields), host=replace(HOST, gpus=gpus), gpus=refused), "gpu")
    assert (said.mark.value if said else None) == mark


def test_secrets_are_missing_spoken_of_or_there() -> None:
    named = HubCheck(HubSpace("m/x", secrets=("HF_KEY", "A")))
    keyed = entry(hub_id="m/x", secrets=["A"], env={"HF_KEY": "no secret"})
    cases = [
        (found(entry(secrets=["A"]), missing_secret="the secret A of x is missing"), "bad"),
        (found(entry(secrets=["A"])), "ok"),
        (found(entry(hub_id="m/x"), hub=named), "unknown"),
        (found(keyed, hub=named), "ok"),
    ]
    for findings, mark in cases:
        said = check(findings, "secrets")
        assert said is not None
        assert said.mark.value == mark
    assert check(found(), "secrets") is None


def test_an_entry_that_makes_no_sense_is_said() -> None:
    marks = [
        (said.mark.value, said.reason.split()[0])
        for findings in (
            found(entry(status="disabled")),
            found(misfit="its app has no endpoint /y"),
            found(entry(alternates=("a", "b")), known=("a",)),
            found(entry(alternates=("a",)), known=("a",)),
        )
        if (said := check(findings, "entry"))
    ]
    assert marks == [("bad", "its"), ("bad", "its"), ("unknown", "its"), ("ok", "its")]


def test_a_quarantined_space_does_not_work_now() -> None:
    resting = SpaceStatus(quarantined_for=20.0, reason="it crashed")
    said = check(found(status=resting), "quarantine")
    assert said is not None
    assert "rests for 20 s: it crashed" in said.reason


def test_an_earlier_trial_of_the_same_image_weighs_more() -> None:
    last = Verdict(works=False, reason="start: it ended", at=NOW, digest=HERE.digest, deep=True)
    tried = entry(verified=last)
    said = check(found(tried, here=HERE), "trial")
    assert said is not None
    assert (said.mark, said.advice) == (Mark.BAD, "Try it again with `deep`.")
    assert check(found(tried, here=replace(HERE, digest="sha256:9")), "trial") is None
    assert check(found(tried, here=HERE, trying=True), "trial") is None


def test_a_verdict_names_the_first_reason_and_what_is_not_known() -> None:
    fine, unsure = Check("sdk", Mark.OK, "gradio"), Check("gpu", Mark.UNKNOWN, "none here")
    bad = Check("memory", Mark.BAD, "too\n much " * 100)
    works = verdict([fine, unsure], NOW, "sha256:1", deep=False)
    assert works is not None
    assert (works.works, works.reason) == (True, "nothing speaks against it; not known: gpu")
    fails = verdict([unsure, bad, fine], NOW, None, deep=False)
    assert fails is not None
    assert (fails.works, fails.reason[:16], len(fails.reason)) == (False, "memory: too much", 300)


def test_what_could_not_be_asked_is_no_verdict() -> None:
    checks = checks_of(found(entry(hub_id="m/x"), offer=SILENT, hub=AWAY))
    assert verdict(checks, NOW, None, deep=False) is None
    no_engine = checks_of(found(host=EngineInfo(trouble="the Docker Engine cannot be reached")))
    assert verdict(no_engine, NOW, None, deep=False) is None


def test_what_the_hub_says_to_do_is_said_once() -> None:
    told = HubSilentError("the Hub cannot be reached")
    one = check(found(entry(hub_id="m/x"), hub=HubCheck(why=str(told))), "hub")
    assert one is not None
    assert f"{one.reason} {one.advice}".count("Check that this host") == 1


@pytest.mark.parametrize(
    ("takes", "known", "kinds"),
    [
        ({"text"}, True, [""]),
        ({"image"}, True, ["hello.png"]),
        ({"text", "image"}, True, ["hello.png", ""]),
        ({"audio"}, True, ["tone.wav"]),
        ({"file"}, True, ["letter.txt"]),
        ({"video"}, True, []),
        ({"unknown"}, False, ["", "hello.png", "tone.wav"]),
    ],
)
def test_samples_fit_what_a_space_takes(takes: set[str], known: bool, kinds: list[str]) -> None:
    found = [sample.files[0].ref.name if sample.files else "" for sample in samples(takes, known)]
    assert found == kinds


def test_samples_are_what_they_say() -> None:
    assert picture().data.startswith(b"\x89PNG")
    assert sound().data[8:12] == b"WAVE"
    assert [one.ref.media_type for one in (picture(), sound(), letter())] == [
        "image/png",
        "audio/wav",
        "text/plain",
    ]


def test_it_reads_well_in_80_columns_and_a_space_cannot_move_the_cursor() -> None:
    checks = [
        {"name": "image", "status": "bad", "reason": "\x1b[2J" + "many words " * 20, "advice": "do " * 40}
    ]
    row = {"name": "x", "works": False, "reason": "image: …", "deep": True, "stored": False}
    said = lines(row | {"checks": checks, "seconds": {"prepare": 1.0, "start": 2.0}})
    assert max(map(len, said)) <= 79
    assert "\x1b" not in "".join(said)
    assert said[-1].endswith("(not kept: it is not in the registry)")


def test_another_image_than_the_entry_was_written_for_is_told_and_does_not_decide() -> None:
    about = entry(hub_id="m/x", image_digest="sha256:" + "9" * 64)
    other = check(found(about, here=HERE), "digest")
    assert other is not None
    assert (other.mark, other.decisive) == (Mark.UNKNOWN, False)
    assert other.reason.startswith("its entry was written for the image sha256:999999999999, and this is ")
    assert check(found(about), "digest") is None
