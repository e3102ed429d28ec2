import gradio as gr
import numpy as np


def channels(image):
    pictures = []
    for index, name in enumerate(["red", "green", "blue"]):
        channel = np.zeros_like(image)
        channel[:, :, index] = image[:, :, index]
        pictures.append((channel, name))
    return pictures


with gr.Blocks() as demo:
    image = gr.Image(label="Picture")
    gallery = gr.Gallery(label="Channels", columns=3)
    gr.Button("Split").click(channels, image, gallery, api_name="channels")

demo.launch()
