"""The environment variables of a Space's container (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from spacedock_worker.containers.spec import ContainerSpec

_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
# What usual libraries would write below the home or the working directory, and only for as long as they run.
_WRITERS = {
    "GRADIO_TEMP_DIR": "/tmp/gradio",
    "GRADIO_EXAMPLES_CACHE": "/tmp/gradio-examples",
    "MPLCONFIGDIR": "/tmp/matplotlib",
    "NUMBA_CACHE_DIR": "/tmp/numba",
    "TRITON_CACHE_DIR": "/tmp/triton",
    "TORCHINDUCTOR_CACHE_DIR": "/tmp/torchinductor",
    "YOLO_CONFIG_DIR": "/tmp/ultralytics",
    "XDG_CONFIG_HOME": "/tmp/config",
    "XDG_DATA_HOME": "/tmp/data",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def environment(spec: ContainerSpec, memory: int, cpus: float | None) -> Mapping[str, str]:
    """The Hub's environment, less what only makes sense there; the Space's own entries win, its secrets last.

    `memory` is in bytes. SPACE_ID stays unset: with SYSTEM=spaces it makes Gradio close its /run routes.
    """
    variables = {
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": str(spec.port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "SPACES_ZERO_GPU": "false",
        "MEMORY": f"{max(1, memory // 2**30)}Gi",
    }
    if cpus is not None:
        variables["CPU_CORES"] = str(max(1, math.floor(cpus)))
    if spec.read_only:
        variables |= _WRITERS
    if spec.sealed:
        variables |= _OFFLINE
    return variables | dict(spec.env) | dict(spec.secrets)
