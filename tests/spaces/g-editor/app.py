import gradio as gr


def describe(canvas):
    picture = canvas["background"] if "background" in canvas else canvas["image"]
    return f"A picture of {picture.width} x {picture.height}"


if hasattr(gr, "ImageEditor"):
    canvas = gr.ImageEditor(type="pil", label="Canvas")
else:
    canvas = gr.Image(tool="sketch", type="pil", label="Canvas")

demo = gr.Interface(describe, canvas, gr.Textbox(label="Description"))

demo.launch()
