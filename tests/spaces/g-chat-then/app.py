import time

import gradio as gr


def user(message, history):
    return "", [*(history or []), [message, None]]


def bot(history):
    words = f"Polly says: {history[-1][0]}".split()
    for number in range(1, len(words) + 1):
        time.sleep(0.02)
        history[-1][1] = " ".join(words[:number])
        yield history


with gr.Blocks() as demo:
    chatbot = gr.Chatbot(label="Parrot")
    message = gr.Textbox(label="Message")
    clear = gr.Button("Clear")

    message.submit(user, [message, chatbot], [message, chatbot], queue=False).then(bot, chatbot, chatbot)
    clear.click(lambda: None, None, chatbot, queue=False)

demo.queue()
demo.launch()
