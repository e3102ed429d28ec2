import gradio as gr


def kinds(record):
    return {name: type(value).__name__ for name, value in record.items()}


def totals(table):
    table["total"] = table["price"].astype(float) * table["count"].astype(float)
    return table


def mood(text):
    good = sum(word in ("good", "great", "love") for word in text.lower().split())
    bad = sum(word in ("bad", "awful", "hate") for word in text.lower().split())
    share = (good + 1) / (good + bad + 2)
    return {"positive": share, "negative": 1 - share}


def mark(text):
    return [(word + " ", "number" if word.isdigit() else None) for word in text.split()]


with gr.Blocks(title="Data desk") as demo:
    with gr.Tab("JSON"):
        record = gr.JSON(label="Record")
        types = gr.JSON(label="Types")
        gr.Button("Kinds").click(kinds, record, types, api_name="kinds")
    with gr.Tab("Table"):
        table = gr.Dataframe(headers=["name", "price", "count"], label="Table")
        summed = gr.Dataframe(label="With totals")
        gr.Button("Totals").click(totals, table, summed, api_name="totals")
    with gr.Tab("Text"):
        text = gr.Textbox(label="Text")
        label = gr.Label(label="Mood")
        marked = gr.HighlightedText(label="Marked")
        gr.Button("Mood").click(mood, text, label, api_name="mood")
        gr.Button("Mark").click(mark, text, marked, api_name="mark")

demo.launch()
