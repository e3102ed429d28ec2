import hashlib
import textwrap

import gradio as gr
from PIL import Image, ImageDraw, ImageFont

SIZE = 512


def draw(prompt):
    """The colour comes from the words, so that one prompt always gives one picture."""
    red, green, blue = hashlib.sha256(prompt.encode()).digest()[:3]
    image = Image.new("RGB", (SIZE, SIZE), (red // 2, green // 2, blue // 2))
    text = textwrap.fill(prompt, width=22)
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=36)
    pen.multiline_text((SIZE / 2, SIZE / 2), text, fill="white", font=font, anchor="mm", align="center")
    return image


demo = gr.Interface(
    fn=draw,
    inputs=gr.Textbox(label="Prompt"),
    outputs=gr.Image(label="Picture", type="pil", format="png"),
    title="Picture",
    api_name="draw",
)

demo.launch()
