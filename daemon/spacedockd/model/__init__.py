"""The system default: SmolLM3, or an honest stand-in, served by llama.cpp in a child of the daemon."""

from spacedockd.model.gateway import ModelGateway
from spacedockd.model.gguf import Gguf, GgufError, cache_folder
from spacedockd.model.job import ServerJob, SmolLMSettings

__all__ = [
    "Gguf",
    "GgufError",
    "ModelGateway",
    "ServerJob",
    "SmolLMSettings",
    "cache_folder",
]
