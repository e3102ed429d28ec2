import gradio as gr

gr.Interface(lambda text: text[::-1], "text", "text", api_name="turn").launch()
