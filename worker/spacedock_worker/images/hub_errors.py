"""Why the Hub gave no answer, each in words that say what to do next."""

from __future__ import annotations

from spacedock.errors import SpacedockError


class HubError(SpacedockError):
    """The Hub gave no answer that can be used."""


class HubSilentError(HubError):
    """The Hub could not be asked, or did not answer; what it said before may still be true."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"{why}. Check that this host reaches the Hub (HF_ENDPOINT names another).")


class HubOfflineError(HubSilentError):
    """This host was told not to ask the Hub."""

    def __init__(self) -> None:
        super().__init__("this host asks the Hub nothing (HF_HUB_OFFLINE or images.hub_offline)")
        self.args = (
            f"{self.why}, and nothing was kept of it. Unset that, or ask again where it is not set.",
        )


class HubBrokenError(HubSilentError):
    """The Hub answered that something is wrong with itself; `status` is its HTTP status."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the Hub is out of order (HTTP {status})")


class HubOddError(HubSilentError):
    """The Hub's answer is not of the shape that its interface has."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the Hub's answer cannot be read ({what})")


class HubLimitedError(HubSilentError):
    """The Hub asked not to be asked for `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            f"the Hub is not to be asked for another {seconds:.0f} s, as its limit of requests is reached"
        )
        self.args = (f"{self.why}. With a token (HF_TOKEN) the limit is higher.",)


class HubRefusedError(HubError):
    """The Hub knows no such Space, or does not show it to this host."""


def no_such_space(hub_id: str) -> HubRefusedError:
    """For a Space that the Hub does not have, or has for others only: it does not say which."""
    return HubRefusedError(
        f"the Hub has no Space {hub_id}, or it is private. Check the id (`spacedock spaces search WORDS` "
        "finds Spaces), and for a private Space give a token (HF_TOKEN) that may read it."
    )


def gated_space(hub_id: str) -> HubRefusedError:
    """For a Space whose author lets in whom he chooses."""
    return HubRefusedError(
        f"{hub_id} is gated: its author decides who may read it. Ask for access on its page on the Hub, and "
        "give the token (HF_TOKEN) of the account that has it."
    )


def disabled_space(hub_id: str) -> HubRefusedError:
    """For a Space that the Hub took down."""
    return HubRefusedError(f"the Hub has disabled {hub_id}. Choose another Space.")


def bad_token() -> HubRefusedError:
    """For a login that the Hub does not take."""
    return HubRefusedError("the Hub refuses the token of this host. Give another HF_TOKEN, or none.")
