"""Runs the official OpenAI client for Python against Strata.

The Go test starts the server and says in the environment where it is. Each
check prints one line of JSON: {"name", "ok", "detail"}. A check catches only the
error that it expects, so that a failure shows where it happened.
"""

import json
import os
import traceback
import urllib.request

import openai

LOCAL = os.environ["CHECK_LOCAL_MODEL"]
TOOLS = os.environ["CHECK_TOOL_MODEL"]
BROKE = os.environ["CHECK_BROKE_KEY"]
COUNT = os.environ["CHECK_COUNT_URL"]

# OPENAI_BASE_URL and OPENAI_API_KEY are all that is set.
client = openai.OpenAI()
ASK = [{"role": "user", "content": "Say hello in one short sentence."}]


def check_models():
    listed = [m.id for m in client.models.list()]
    assert LOCAL in listed and TOOLS in listed, listed
    one = client.models.retrieve(LOCAL)
    assert one.id == LOCAL and one.object == "model", one


def check_chat_whole():
    raw = client.chat.completions.with_raw_response.create(model=LOCAL, messages=ASK, max_tokens=24, temperature=0)
    assert raw.headers["x-strata-call-id"], raw.headers
    c = raw.parse()
    assert c.object == "chat.completion" and c.choices[0].message.content.strip(), c
    assert c.choices[0].message.role == "assistant"
    assert c.usage.prompt_tokens > 0 and 0 < c.usage.completion_tokens <= 24, c.usage
    assert c.usage.total_tokens == c.usage.prompt_tokens + c.usage.completion_tokens, c.usage


def check_chat_streamed():
    whole = client.chat.completions.create(model=LOCAL, messages=ASK, max_tokens=24, temperature=0)
    text, usage, finish, chunks = "", None, None, 0
    with client.chat.completions.create(
        model=LOCAL, messages=ASK, max_tokens=24, temperature=0, stream=True, stream_options={"include_usage": True}
    ) as stream:
        for chunk in stream:
            chunks += 1
            if chunk.usage:
                assert not chunk.choices, "the chunk with usage has choices"
                usage = chunk.usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
    assert text == whole.choices[0].message.content, (text, whole.choices[0].message.content)
    assert usage and usage.model_dump() == whole.usage.model_dump(), (usage, whole.usage)
    assert finish == whole.choices[0].finish_reason and chunks > 3, (finish, chunks)


def check_stream_without_usage():
    for chunk in client.chat.completions.create(model=LOCAL, messages=ASK, max_tokens=8, stream=True):
        assert chunk.usage is None, "usage was not asked for"
        assert chunk.choices, "a chunk without choices"


def check_stream_helper():
    with client.chat.completions.stream(model=LOCAL, messages=ASK, max_tokens=16, temperature=0) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.content.strip(), final


def check_max_tokens():
    c = client.chat.completions.create(model=LOCAL, messages=[{"role": "user", "content": "Tell a long story about a river."}], max_tokens=5, temperature=0)
    assert c.choices[0].finish_reason == "length" and c.usage.completion_tokens == 5, c


def check_several_choices():
    c = client.chat.completions.create(model=LOCAL, messages=ASK, max_tokens=12, n=2, temperature=1.2, seed=7)
    assert [x.index for x in c.choices] == [0, 1], c
    assert c.usage.completion_tokens > 2, c.usage


def check_stop():
    ask = [{"role": "user", "content": "Write the letters: a, b, c, d, e, f"}]
    free = client.chat.completions.create(model=LOCAL, messages=ask, max_tokens=30, temperature=0).choices[0].message.content
    word = free.split()[2]
    cut = client.chat.completions.create(model=LOCAL, messages=ask, max_tokens=30, temperature=0, stop=[word])
    text = cut.choices[0].message.content or ""
    assert word not in text and free.startswith(text), (word, text, free)
    assert cut.choices[0].finish_reason == "stop", cut


def check_seed():
    def once(seed):
        return client.chat.completions.create(model=LOCAL, messages=ASK, max_tokens=24, temperature=1.0, seed=seed).choices[0].message.content

    assert once(11) == once(11), "the same seed gave another answer"
    assert len({once(s) for s in (1, 2, 3, 4)}) > 1, "four seeds gave one answer"


def check_logprobs():
    c = client.chat.completions.create(model=LOCAL, messages=ASK, max_tokens=6, temperature=0, logprobs=True, top_logprobs=3)
    tokens = c.choices[0].logprobs.content
    assert len(tokens) == c.usage.completion_tokens or len(tokens) == c.usage.completion_tokens - 1, (len(tokens), c.usage)
    for t in tokens:
        assert t.logprob <= 0 and len(t.top_logprobs) == 3, t
        assert t.top_logprobs[0].logprob >= t.top_logprobs[1].logprob >= t.top_logprobs[2].logprob, t
        # At temperature 0 the likeliest token is the one taken.
        assert t.top_logprobs[0].token == t.token, t


def check_completions():
    c = client.completions.create(model=LOCAL, prompt="The capital of France is", max_tokens=8, temperature=0)
    assert c.object == "text_completion" and c.choices[0].text.strip(), c
    text = "".join(
        x.text for chunk in client.completions.create(model=LOCAL, prompt="The capital of France is", max_tokens=8, temperature=0, stream=True) for x in chunk.choices
    )
    assert text == c.choices[0].text, (text, c.choices[0].text)


def check_embeddings():
    # The client asks for base64 unless told otherwise.
    both = client.embeddings.create(model=LOCAL, input=["a cat sat on the mat", "a stock exchange"])
    assert [e.index for e in both.data] == [0, 1] and both.usage.prompt_tokens > 0, both.usage
    floats = client.embeddings.create(model=LOCAL, input="a cat sat on the mat", encoding_format="float")
    a, b = both.data[0].embedding, floats.data[0].embedding
    assert len(a) == len(b) > 100, (len(a), len(b))
    assert max(abs(x - y) for x, y in zip(a, b)) < 1e-3, "base64 and float differ"


WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}


def check_tools():
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    first = client.chat.completions.create(model=TOOLS, messages=messages, tools=[WEATHER], tool_choice="auto")
    assert first.choices[0].finish_reason == "tool_calls", first
    call = first.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": "Paris"}, call
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}]
    second = client.chat.completions.create(model=TOOLS, messages=messages, tools=[WEATHER])
    assert "21 degrees" in second.choices[0].message.content, second


def check_tools_streamed():
    with client.chat.completions.stream(
        model=TOOLS, messages=[{"role": "user", "content": "What is the weather in Paris?"}], tools=[WEATHER]
    ) as stream:
        for _ in stream:
            pass
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Paris"}, call


def check_unknown_fields_pass():
    c = client.chat.completions.create(model=TOOLS, messages=ASK, extra_body={"lab_option": {"depth": 3}})
    assert c.choices[0].message.content == 'lab_option={"depth":3}', c


def check_unknown_model():
    try:
        client.chat.completions.create(model="no-such-model", messages=ASK)
    except openai.NotFoundError as e:
        assert e.status_code == 404 and e.code == "model_not_found", e.body
        return
    raise AssertionError("no error")


def check_wrong_key():
    try:
        openai.OpenAI(api_key="sk-strata-wrong").chat.completions.create(model=LOCAL, messages=ASK)
    except openai.AuthenticationError as e:
        assert e.code == "invalid_api_key" and "sk-strata-wrong" not in str(e), e.body
        return
    raise AssertionError("no error")


def check_bad_request():
    try:
        client.chat.completions.create(model=LOCAL, messages=[{"role": "nobody", "content": "x"}])
    except openai.BadRequestError as e:
        assert e.status_code == 400 and e.message, e.body
        return
    raise AssertionError("no error")


def check_budget_is_not_retried():
    broke = openai.OpenAI(api_key=BROKE, max_retries=4, default_headers={"X-Check": "python-budget"})
    try:
        broke.chat.completions.create(model=TOOLS, messages=ASK)
    except openai.APIStatusError as e:
        assert e.status_code == 402 and e.code == "budget_exceeded", e.body
    else:
        raise AssertionError("no error")
    with urllib.request.urlopen(COUNT + "?check=python-budget") as r:
        n = int(r.read())
    assert n == 1, f"the client sent the refused request {n} times"


for name, fn in list(globals().items()):
    if not name.startswith("check_"):
        continue
    result = {"name": name.removeprefix("check_"), "ok": True, "detail": ""}
    try:
        fn()
    except Exception:
        result.update(ok=False, detail=traceback.format_exc(limit=4))
    print(json.dumps(result), flush=True)
print(json.dumps({"name": "version", "ok": True, "detail": openai.__version__}))
