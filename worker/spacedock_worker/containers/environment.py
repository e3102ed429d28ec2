"""The environment of a Space's container (pure)."""

from __future__ import annotations

import math

from spacedock_worker.containers.spec import ContainerSpec

# Libraries that write where they are installed or below HOME otherwise. None of these places holds what an
# image may bring with it, as HF_HOME, XDG_CACHE_HOME, XDG_CONFIG_HOME and XDG_DATA_HOME may.
_WRITERS = {
    "GRADIO_TEMP_DIR": "/tmp/gradio",
    "GRADIO_EXAMPLES_CACHE": "/tmp/gradio-examples",
    "MPLCONFIGDIR": "/tmp/matplotlib",
    "NUMBA_CACHE_DIR": "/tmp/numba",
    "TRITON_CACHE_DIR": "/tmp/triton",
    "TORCHINDUCTOR_CACHE_DIR": "/tmp/torchinductor",
    "YOLO_CONFIG_DIR": "/tmp/ultralytics",
}
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def environment(
    spec: ContainerSpec, memory: int, cpus: float | None = None, *, gpu: bool = False
) -> dict[str, str]:
    """The Hub's environment, less what only makes sense there; the Space's own entries win, its secrets most.

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
    if spec.private:
        # Code that came with weights is copied there before it is imported, and their cache is read-only.
        variables["HF_MODULES_CACHE"] = "/tmp/hf-modules"
    variables |= {**spec.env, **spec.secrets}
    if not gpu:
        # CUDA images ask for every GPU: where the engine's default runtime is NVIDIA's, they would get them.
        variables["NVIDIA_VISIBLE_DEVICES"] = "void"
    return variables
