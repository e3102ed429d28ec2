"""Gradio apps, 3.35 to 6: choosing the endpoint, filling its inputs, calling it, reading its answer."""

from spacedock_worker.adapters.gradio.adapter import GradioAdapter
from spacedock_worker.adapters.gradio.connection import check_config, connect, is_gradio
from spacedock_worker.adapters.gradio.direct import LearnedEndpoints

__all__ = ["GradioAdapter", "LearnedEndpoints", "check_config", "connect", "is_gradio"]
