"""A stream on Gradio 3 without .queue(): the Hub gives every app a queue, so it starts there."""

import gradio as gr


def count(message, history):
    for number in range(1, 4):
        yield " ".join(str(one) for one in range(1, number + 1)) + f" {message}"


gr.ChatInterface(count).launch()
