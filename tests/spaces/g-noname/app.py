import gradio as gr


def repeat(a, b):
    return " ".join([a] * int(b))


with gr.Blocks() as demo:
    a = gr.Textbox(show_label=False)
    b = gr.Slider(1, 5, value=2, step=1, show_label=False)
    c = gr.Textbox(show_label=False)
    button = gr.Button("Go")
    button.click(repeat, [a, b], c)

demo.launch()
