import gradio as gr
from PIL import ImageOps


def mirror(image):
    return ImageOps.mirror(image)


demo = gr.Interface(fn=mirror, inputs=gr.Image(type="pil"), outputs=gr.Image(type="pil"), title="Mirror")

demo.launch()
