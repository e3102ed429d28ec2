import gradio as gr


def is_palindrome(text):
    letters = [c for c in text.lower() if c.isalnum()]
    return "yes" if letters == letters[::-1] else "no"


unlisted = {"show_api": False} if gr.__version__ < "6" else {"api_visibility": "undocumented"}

with gr.Blocks() as demo:
    text = gr.Textbox(label="Text")
    verdict = gr.Textbox(label="Palindrome")
    gr.Button("Check").click(is_palindrome, text, verdict, **unlisted)

demo.launch()
