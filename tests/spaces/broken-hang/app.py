import time

import gradio as gr


def predict(text):
    time.sleep(3600)
    return text


gr.Interface(fn=predict, inputs="text", outputs="text", api_name="predict").launch()
