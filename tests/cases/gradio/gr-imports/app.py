import datasets
import gradio as gr

table = datasets.Dataset.from_dict({"word": ["one", "two", "three"]})

def longest(_: str) -> str:
    return max(table["word"], key=len)

gr.Interface(longest, gr.Textbox(label="x"), gr.Textbox(label="y"), api_name="longest").launch(mcp_server=True)
