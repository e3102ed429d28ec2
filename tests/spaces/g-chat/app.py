import gradio as gr


def answer(message, history):
    return f"You said: {message}"


demo = gr.ChatInterface(answer, title="Echo chat")

demo.launch()
