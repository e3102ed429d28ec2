"""What the fuzz tests draw from: JSON of any shape, full of names that mean something in Gradio."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

BIG = 10**4299

NAMES = """
api_name inputs outputs dependencies components id type props label value choices targets trigger parameters
named_endpoints unnamed_endpoints parameter_name parameter_has_default skip_api api_info properties video
file_types file_count multiselect msg event_id output data error success rank progress_data index length desc
progress log process_generating process_starts process_completed estimation queue_full __type__ update path
meta _type gradio.FileData url orig_name name is_file role content text image chatbot textbox state gallery
append replace delete add
"""
TEXTS = st.one_of(
    st.sampled_from(NAMES.split()),
    st.text(max_size=8),
    st.just("data:image/png;base64,YQ=="),
    st.just("\ud800"),
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.sampled_from([BIG, -BIG, 1e308, float("inf"), 2**63]),
    st.floats(allow_nan=False),
    TEXTS,
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)

fuzz = settings(
    max_examples=100,
    deadline=timedelta(seconds=1),
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
