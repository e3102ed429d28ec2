import gradio as gr


def respond(message, history, turns):
    turns += 1
    history = [
        *(history or []),
        {"role": "user", "content": message},
        {"role": "assistant", "content": f"Turn {turns}: {message.capitalize()}."},
    ]
    return "", history, turns


with gr.Blocks() as demo:
    turns = gr.State(0)
    try:
        chatbot = gr.Chatbot(type="messages", label="Chat")
    except TypeError:  # Gradio 6 knows nothing but messages.
        chatbot = gr.Chatbot(label="Chat")
    message = gr.Textbox(label="Message")
    send = gr.Button("Send", variant="primary")
    clear = gr.ClearButton([message, chatbot])

    send.click(respond, [message, chatbot, turns], [message, chatbot, turns], api_name="respond")
    message.submit(respond, [message, chatbot, turns], [message, chatbot, turns], api_name="respond")

demo.launch()
