import gradio as gr


def titles(texts, marks):
    return [[f"{text.title()}{mark}" for text, mark in zip(texts, marks)]]


with gr.Blocks() as demo:
    text = gr.Textbox(label="Text")
    mark = gr.Dropdown(["", "!", "?"], value="!", label="Mark")
    title = gr.Textbox(label="Title")
    gr.Button("Write").click(titles, [text, mark], title, batch=True, max_batch_size=8)

demo.queue().launch()
