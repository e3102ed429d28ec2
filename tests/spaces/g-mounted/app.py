import gradio as gr
import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def index():
    return {"interface": "/ui"}


def spell(text):
    return "-".join(text)


with gr.Blocks() as demo:
    text = gr.Textbox(label="Text")
    spelled = gr.Textbox(label="Spelled")
    gr.Button("Spell").click(spell, text, spelled, api_name="spell")

demo.queue()
app = gr.mount_gradio_app(app, demo, path="/ui")

if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=7860)
