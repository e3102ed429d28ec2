"""Gradio's own API for any Space: gradio_client speaks it unchanged, and each call is a job."""
