"""Gradio apps, by their queue: choosing the endpoint, filling its inputs, reading its answer."""

from spacedock_worker.adapters.gradio.adapter import GradioAdapter

__all__ = ["GradioAdapter"]
