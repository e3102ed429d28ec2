"""Gradio apps, 3.35 to 6: choosing the endpoint, filling its inputs, calling it, reading its answer."""

from spacedock_worker.adapters.gradio.adapter import GradioAdapter
from spacedock_worker.adapters.gradio.connecting import connect, is_gradio
from spacedock_worker.adapters.gradio.memory import Memory

__all__ = ["GradioAdapter", "Memory", "connect", "is_gradio"]
