import gradio as gr
from PIL import Image


def sizes(pictures):
    found = []
    for path, caption in pictures:
        with Image.open(path) as picture:
            found.append(f"{caption or 'no caption'}: {picture.width} x {picture.height}")
    return "; ".join(found)


with gr.Blocks() as demo:
    gallery = gr.Gallery(label="Pictures")
    report = gr.Textbox(label="Sizes")
    gr.Button("Measure").click(sizes, gallery, report)

demo.launch()
