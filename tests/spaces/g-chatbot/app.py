import gradio as gr


def respond(message, history):
    history = history or []
    history.append((message, f"Message {len(history) + 1}: {message}"))
    return "", history


with gr.Blocks() as demo:
    chatbot = gr.Chatbot(label="Chat")
    message = gr.Textbox(label="Message", placeholder="Say something")
    clear = gr.Button("Clear")

    message.submit(respond, [message, chatbot], [message, chatbot])
    clear.click(lambda: None, None, chatbot, queue=False)

demo.launch()
