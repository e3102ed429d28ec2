"""The names of everything in Redis, arq's own included: the only place where they are spelt."""

from __future__ import annotations

import re

PREFIX = "spacedock:"

JOB = PREFIX + "job:"
ARQ_JOB = "arq:job:"
PAYLOAD = PREFIX + "file:"
PAYLOAD_USERS = PREFIX + "file-users:"
"""Prefix of the sets of the ids of unfinished jobs that need a file."""

PAYLOAD_KEPT = PREFIX + "file-kept:"
"""Prefix of the strings that live as long as a file is promised to ended jobs, while others need it too."""

IN_PROGRESS = "arq:in-progress:"
ARQ_RETRY = "arq:retry:"
REPLY = PREFIX + "reply:"
WORKER = PREFIX + "worker:"

LANES = PREFIX + "lanes"
"""Sorted set of the lanes in which jobs wait; the score is what each has had, in weighted seconds."""

LANE = PREFIX + "lane:"
"""Prefix of the sorted sets of a lane's targets; the score is when its oldest waiting job may run (ms)."""

WAITING = PREFIX + "waiting:"
"""Prefix, before `lane|target`, of the sorted sets of waiting job ids; the score as in QUEUE."""

RUNS = WAITING + "runs"
"""Sorted set of the ids of pipelines' runs that are not settled; the score is when to look at each (s)."""

RUNS_DUE = "runs"
"""The message on WAKE that says that a run is to be looked at."""

HELD = PREFIX + "held"
"""Sorted set of the running jobs' ids; the score is when to look whether their lease still lasts (ms)."""

VIRTUAL = PREFIX + "virtual"
"""String: where the lane that was served last stood, in weighted seconds; a new lane starts there."""

QUEUE = "arq:queue"
"""Sorted set of waiting and running job ids; the score is the time from which a job may run (ms)."""

WAKE = PREFIX + "wake"
"""Channel: jobs were submitted; the message is `lane|target` of one, or nothing of the kind."""

DONE = PREFIX + "done"
"""Channel: a job has ended; the message is its id."""

CANCEL = PREFIX + "cancel"
"""Channel: a running job shall stop; the message is its id."""

CONTROL = PREFIX + "control"
"""List of control calls that change something (adding, cleaning up and the like), taken by any worker."""

ASK = PREFIX + "ask"
"""List of control calls that only ask (listing, planning and the like), taken by any worker."""

CATALOGUE = PREFIX + "catalogue"
"""Hash: what was added, discovered and validated of Spaces, by name (JSON)."""

CATALOGUE_VERSION = PREFIX + "catalogue-version"
"""String: another one after each change of the catalogue; none before the first."""

CATALOGUE_REPOSITORIES = PREFIX + "catalogue-repositories"
"""Hash: the tars of the catalogue's Spaces that came as a directory, by name."""

CATALOGUE_CHANGED = PREFIX + "catalogue-changed"
"""Channel: the catalogue has changed; the message is its version."""

SCRUB = PREFIX + "scrub"
"""String that is there when a private job was deleted: the server's file on disk still has its prompt."""

ACCUSED = PREFIX + "accused:"
"""Prefix of the strings that name the job which a worker's death is charged to."""

EVENTS = PREFIX + "events"
"""Stream of the events of all jobs, numbered 0-1, 0-2, and so on: batch, at (s), event (JSON)."""

BATCH = PREFIX + "batch:"
"""Prefix of the hashes of batches: submitted (s), client, priority, label, keep (s), degraded, and how many
of its jobs are in each state."""

BATCH_JOBS = PREFIX + "batch-jobs:"
"""Prefix of the lists of a batch's job ids, in the order of their submission."""

HOSTS = PREFIX + "hosts"
"""Sorted set of the ids of hosts; the score is when each was last there (s)."""

HOST = PREFIX + "host:"
"""Prefix of the strings (JSON, `Host`) that live as long as a host's worker does."""

SERVES = PREFIX + "serves:"
"""Prefix of the sets of Spaces that a host can run; a day longer there than the host, which may come back."""

PAUSED = PREFIX + "paused"
"""Set of the ids of hosts that take no jobs, because somebody has said so."""

SETTINGS = PREFIX + "settings"
"""Hash of what daemons say for all hosts and clients: how long what is kept (s), and where files go."""

TOKENS = PREFIX + "tokens"
"""Hash: each token of the HTTP door (JSON, with its hash) by its id."""

SWEPT = PREFIX + "swept"
"""String that lives as long as no host has to tidy the store of files up again."""

CALLBACKS = PREFIX + "callbacks"
"""Hash: the addresses that want to hear of the end of `job:ID` and `batch:ID`."""

WEBHOOKS = PREFIX + "webhooks"
"""Sorted set of the ids of webhooks that are to be sent; the score is when (s)."""

WEBHOOK = PREFIX + "webhook:"
"""Prefix of the hashes of webhooks: url, type, body, created (s), tries, state, said."""

WEBHOOK_SECRET = PREFIX + "webhook-secret"
"""String: what webhooks are signed with."""

ANSWER = PREFIX + "answer:"
"""Prefix of the strings (JSON) of answers that are taken again, by what was asked of which image."""

_OF_STEP = re.compile(r"(.+)-\d+-\d+")

FUNCTION = "run"
"""The one arq function; the job's id says everything else."""


def job(job_id: str) -> str:
    """Hash: request, state, submitted (s), files (places), lane, target, labels (JSON), worker (its holder),
    charged (what its lane was charged for it, in weighted seconds), cancel, message, result, outputs
    (places), keep (s, where the request says how long after its end); and what is known of workers that died
    with it: waits, deaths, losses.

    Of a job in privacy mode also `private`; once it is deleted, state, submitted and `deleted` are left.
    Of a pipeline's run also, with N for a step's number: `step N` (its plan, JSON), `left N`, `bad N`,
    `off N` and `first N` (of its jobs: how many have not ended, how many ended without an answer, how many of
    these were cancelled, and the index of the first without an answer), `sent N` (all were submitted), and
    `degraded` (how many jobs). The jobs' ids are RUN-N-INDEX.
    """
    return JOB + job_id


def run_of(job_id: str) -> str | None:
    """The id of the pipeline's run that the job is of, as one of its steps; None of any other job."""
    found = _OF_STEP.fullmatch(job_id)
    return found[1] if found else None


def payload(place: str) -> str:
    """String: the bytes of a file; `place` is `FileRef.place`. Hash where the store has them: state
    (`coming`, `in`, `gone`), size, store (its identity)."""
    return PAYLOAD + place


def reply(call_id: str) -> str:
    """List: the answers to a control call; all but the last say that the worker is still at it."""
    return REPLY + call_id


def worker(worker_id: str) -> str:
    """String that lives as long as the worker does."""
    return WORKER + worker_id


def accused(worker_id: str) -> str:
    """String: the id of the job that this worker's death is charged to, in place of all that it executes."""
    return ACCUSED + worker_id


def arq_job(job_id: str) -> str:
    """arq's definition of a job (JSON)."""
    return ARQ_JOB + job_id


def arq_in_progress(job_id: str) -> str:
    """arq's lock on a running job: our lease, holding the worker's id."""
    return IN_PROGRESS + job_id


def arq_retry(job_id: str) -> str:
    """arq's count of the times that a job was started."""
    return ARQ_RETRY + job_id
