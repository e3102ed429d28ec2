"""Gradio apps, 3.35 to 6: choosing the endpoint, filling its inputs, calling it, reading its answer."""
