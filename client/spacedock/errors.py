"""The errors that a user of Spacedock can meet; each says what to do next."""

from __future__ import annotations

from difflib import get_close_matches

_SHOWN_NAMES = 12
_MOST_COMPARED, _LONGEST_NAME = 1000, 100


class SpacedockError(Exception):
    """Base of every error that Spacedock raises on purpose."""


class BadRequestError(SpacedockError):
    """The request cannot be a job: a field is missing, empty or contradicts another."""


class FileTooLargeError(BadRequestError):
    """A file, or all files of one job together, are over the limit.

    `name` is the file's name (or "all files"), `size` and `limit` are bytes.
    """

    def __init__(self, name: str, size: int, limit: int) -> None:
        self.name, self.size, self.limit = name, size, limit
        super().__init__(
            f"{name}: {size / 2**20:.1f} MB is over the limit of {limit / 2**20:.0f} MB. "
            "Send a smaller file, or split the job."
        )


class FileUnreadableError(BadRequestError):
    """A file that the request names cannot be read on this machine."""

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path}: {why}. Check the path and its permissions.")


class NotConnectedError(SpacedockError):
    """Redis cannot be reached at the address in use."""

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        name = "name its Redis with --redis or SPACEDOCK_REDIS_URL."
        if url.startswith("unix:"):
            super().__init__(f"no Spacedock at {url} ({why}). Start it with `spacedockd`, or {name}")
        else:
            # A daemon starts no Redis there.
            super().__init__(f"no Redis answers at {url} ({why}). Start that server, or {name}")


class RefusedError(SpacedockError):
    """Redis is there, and will not serve this client: password, rights, TLS, or another kind of server.

    `why` is the trouble, `advice` what to do; `lasting` is false where it may pass by itself.
    """

    def __init__(self, url: str, why: str, advice: str, *, lasting: bool = True) -> None:
        self.url, self.why, self.advice, self.lasting = url, why, advice, lasting
        super().__init__(f"Redis at {url}: {why}. {advice}.")


class QueueFullError(SpacedockError):
    """Redis has no memory for new jobs; those that it has go on, and their results are written.

    All in bytes: `used` of `limit` are taken; files and texts of jobs that wait or run hold `unfinished`,
    those of jobs that have ended `ended`. `submitted` are the ids of the same call that came through before.
    """

    def __init__(
        self, used: int, limit: int, unfinished: int, ended: int, submitted: tuple[str, ...] = ()
    ) -> None:
        self.used, self.limit, self.unfinished, self.ended = used, limit, unfinished, ended
        self.submitted = submitted
        level = f" ({_mb(used)} of {_mb(limit)} for jobs)" if limit else ""
        came = f" {len(submitted)} jobs were submitted before, and go on." if submitted else ""
        super().__init__(
            f"the queue's memory is full{level}: jobs that wait or run hold {_mb(unfinished)}, those that "
            f"have ended {_mb(ended)}.{came} Wait for jobs to end, free results with `spacedock cleanup "
            "--older-than 1h`, or raise queue_memory (of a Redis of your own: maxmemory)."
        )


class StoreFullError(QueueFullError):
    """The place where the queue keeps large files has no room for more.

    `free` are the bytes that are left (-1: unknown), `needed` those of the files and of what must stay free.
    """

    def __init__(self, url: str, free: int = -1, needed: int = 0) -> None:
        super().__init__(0, 0, 0, 0)
        self.url, self.free, self.needed = url, free, needed
        level = f" ({_mb(free)} free, {_mb(needed)} needed)" if free >= 0 else ""
        self.args = (
            f"the store of files at {url} is full{level}. Wait for jobs to end, free results with `spacedock "
            "cleanup --older-than 1h`, or give it more room.",
        )


class StoreAwayError(SpacedockError):
    """The place where the queue keeps large files cannot be used now: not mounted, or its server is away."""

    def __init__(self, url: str, why: str, advice: str) -> None:
        self.url, self.why, self.advice = url, why, advice
        super().__init__(f"the store of files at {url} cannot be used: {why}. {advice}.")


def _mb(size: int) -> str:
    return f"{size / 2**20:,.0f} MB"


AWAY = (NotConnectedError, RefusedError, StoreAwayError)
"""The queue cannot be used now. Their words name addresses and paths of this host: others get AWAY_TOLD."""
AWAY_TOLD = "the queue cannot be reached now: try again in a moment; the daemon's log says why"


class NoWorkerError(SpacedockError):
    """No worker answered; Redis is there, but nothing takes work from it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"no worker answered within {seconds:g} s. Is `spacedockd` running?")


class JobNotFoundError(SpacedockError):
    """There is no job of that id: it never was, or its result was kept long enough and is gone.

    `kind` says what it was looked for as.
    """

    def __init__(self, job_id: str, kind: str = "job") -> None:
        self.job_id = job_id
        super().__init__(
            f"no {kind} {job_id}. Results are kept for 24 hours after the job ended, an hour in privacy "
            "mode, unless the daemon's `retention` or the job's `keep_for` says otherwise."
        )


class ResultDeletedError(SpacedockError):
    """The jobs were deleted after their results had been read, as jobs in privacy mode are."""

    def __init__(self, job_ids: tuple[str, ...]) -> None:
        self.job_ids = job_ids
        more = f" and {len(job_ids) - 1} more" if len(job_ids) > 1 else ""
        super().__init__(
            f"the result of job {job_ids[0]}{more} was deleted after it was read. Submit the prompt again "
            "for another answer; a result that is read with `keep` stays."
        )


class SpaceNotFoundError(SpacedockError):
    """The registry has no Space of that name."""

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        self.name, self.known = name, known
        super().__init__(
            f"no Space '{name}' in the registry. {_names(name, known)} Find one with `spacedock spaces "
            "search WORDS`, or add it with `spacedock spaces add`."
        )


def _names(name: str, known: tuple[str, ...]) -> str:
    """The names that there are; of many, those that are like `name`."""
    if not known:
        return "The registry is empty."
    if len(known) <= _SHOWN_NAMES:
        return f"Known: {', '.join(known)}."
    # To compare ten thousand names takes a second: people rarely mistype the first letter.
    like = [one for one in known if one[:1].lower() == name[:1].lower()][:_MOST_COMPARED]
    close = get_close_matches(name[:_LONGEST_NAME], like)
    meant = f"Did you mean {' or '.join(close)}? " if close else ""
    return f"{meant}`spacedock spaces list --all` shows all {len(known)}."


class CategoryNotFoundError(SpacedockError):
    """The registry has no Space of that category."""

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        self.name, self.known = name, known
        names = f"Categories: {', '.join(known)}." if known else "The registry is empty."
        super().__init__(
            f"no Space of the category '{name}' in the registry. {names} "
            f"Add one with `spacedock spaces add NAME --category {name}`."
        )


class ResultTimeoutError(SpacedockError):
    """The job had not ended when the caller's wait was over. The job itself goes on."""

    def __init__(self, job_id: str, seconds: float) -> None:
        self.job_id, self.seconds = job_id, seconds
        super().__init__(
            f"job {job_id} had not ended after {seconds:g} s. It goes on: `spacedock result {job_id}`."
        )


class WireError(SpacedockError):
    """A message cannot be understood: not JSON, not of this kind, or of an unknown version."""
