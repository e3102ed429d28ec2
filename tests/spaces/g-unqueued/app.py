import gradio as gr


def count(text):
    return len(text.split())


with gr.Blocks() as demo:
    text = gr.Textbox(label="Text")
    words = gr.Number(label="Words")
    gr.Button("Count").click(count, text, words, queue=False, api_name="count")

demo.launch()
