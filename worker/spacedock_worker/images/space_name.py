"""Which image a Space of the Hub has: its name and its tag (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence

_COMMIT_TAG = re.compile(r"(?:([a-z0-9]+)-)?([0-9a-f]{7,40})")


def subdomain_of(hub_id: str) -> str:
    """The subdomain by the rule that is known; long names are cut by one that only the Hub knows."""
    return re.sub(r"[^a-z0-9-]", "-", hub_id.lower())


def choose_tag(tags: Sequence[str], sha: str | None) -> str | None:
    """The tag to pull: `latest`, else that of the Space's commit, else the last that names a commit.

    Tags such as `cpu-0123abc` carry the first 7 hex digits of the commit. Where the commit is known and has
    no tag, an image of another one would be old: None, so that it is built.
    """
    if "latest" in tags:
        return "latest"
    named = [tag for tag in tags if commit_of(tag)]
    if sha:
        named = [tag for tag in named if sha.startswith(commit_of(tag) or sha)]
    # The image for CPUs runs everywhere; image registries list tags in no order of time.
    return max(enumerate(named), key=lambda pair: (pair[1].startswith("cpu-"), pair[0]))[1] if named else None


def commit_of(tag: str) -> str | None:
    """The first hex digits of the commit that the tag names; None where it names none."""
    found = _COMMIT_TAG.fullmatch(tag)
    return found.group(2) if found else None


def revision_of(tag: str | None, sha: str | None) -> str | None:
    """The commit in `tag`: whole where it is `sha`'s, else as much of it as the tag says."""
    commit = commit_of(tag) if tag else None
    return sha if commit and sha and sha.startswith(commit) else commit
