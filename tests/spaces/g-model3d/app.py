import os
import tempfile

import gradio as gr


def enlarge(model):
    target = os.path.join(tempfile.mkdtemp(), "large.obj")
    with open(model) as source, open(target, "w") as out:
        for line in source:
            if line.startswith("v "):
                x, y, z = (2 * float(number) for number in line.split()[1:4])
                line = f"v {x:g} {y:g} {z:g}\n"
            out.write(line)
    return target


demo = gr.Interface(enlarge, gr.Model3D(label="Model"), gr.Model3D(label="Large model"))

demo.launch()
