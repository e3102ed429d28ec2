import time

import gradio as gr


def words_of(content):
    return content if isinstance(content, str) else " ".join(part["text"] for part in content)


def user(message, history):
    return "", [*(history or []), {"role": "user", "content": message}]


def bot(history):
    words = f"Polly says: {words_of(history[-1]['content'])}".split()
    history.append({"role": "assistant", "content": ""})
    for number in range(1, len(words) + 1):
        time.sleep(0.02)
        history[-1]["content"] = " ".join(words[:number])
        yield history


with gr.Blocks() as demo:
    try:
        chatbot = gr.Chatbot(type="messages", label="Parrot")
    except TypeError:  # Gradio 6 knows nothing but messages.
        chatbot = gr.Chatbot(label="Parrot")
    message = gr.Textbox(label="Message")
    send = gr.Button("Send", variant="primary")
    clear = gr.ClearButton([message, chatbot])

    send.click(user, [message, chatbot], [message, chatbot], queue=False).then(bot, chatbot, chatbot)
    message.submit(user, [message, chatbot], [message, chatbot], queue=False).then(bot, chatbot, chatbot)

demo.launch()
