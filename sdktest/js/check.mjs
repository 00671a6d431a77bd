// Runs the official OpenAI client for JavaScript against Strata. The Go test
// starts the server and says in the environment where it is. Each check prints
// one line of JSON: {"name", "ok", "detail"}.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { VERSION } from "openai/version";

const LOCAL = process.env.CHECK_LOCAL_MODEL;
const TOOLS = process.env.CHECK_TOOL_MODEL;
const BROKE = process.env.CHECK_BROKE_KEY;
const COUNT = process.env.CHECK_COUNT_URL;

// OPENAI_BASE_URL and OPENAI_API_KEY are all that is set.
const client = new OpenAI();
const ASK = [{ role: "user", content: "Say hello in one short sentence." }];
const chat = (o) => client.chat.completions.create({ model: LOCAL, messages: ASK, ...o });

const WEATHER = {
  type: "function",
  function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } },
};

// rejects runs fn, which must fail with an error of this class.
async function rejects(fn, type) {
  try {
    await fn();
  } catch (e) {
    assert.ok(e instanceof type, `${e}`);
    return e;
  }
  assert.fail("no error");
}

const checks = {
  async models() {
    const listed = [];
    for await (const m of client.models.list()) listed.push(m.id);
    assert.ok(listed.includes(LOCAL) && listed.includes(TOOLS), `${listed}`);
    assert.equal((await client.models.retrieve(LOCAL)).id, LOCAL);
  },

  async chat_whole() {
    const { data: c, response } = await chat({ max_tokens: 24, temperature: 0 }).withResponse();
    assert.ok(response.headers.get("x-strata-call-id"));
    assert.equal(c.object, "chat.completion");
    assert.ok(c.choices[0].message.content.trim());
    assert.equal(c.usage.total_tokens, c.usage.prompt_tokens + c.usage.completion_tokens);
  },

  async chat_streamed() {
    const whole = await chat({ max_tokens: 24, temperature: 0 });
    let text = "", usage, finish;
    for await (const chunk of await chat({ max_tokens: 24, temperature: 0, stream: true, stream_options: { include_usage: true } })) {
      if (chunk.usage) usage = chunk.usage;
      for (const c of chunk.choices) {
        text += c.delta.content ?? "";
        finish = c.finish_reason ?? finish;
      }
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.deepEqual(usage, whole.usage);
    assert.equal(finish, whole.choices[0].finish_reason);
  },

  async stream_helper() {
    const final = await client.chat.completions.stream({ model: LOCAL, messages: ASK, max_tokens: 16, temperature: 0 }).finalChatCompletion();
    assert.ok(final.choices[0].message.content.trim());
  },

  async abort() {
    const stream = await chat({ max_tokens: 400, stream: true });
    let n = 0;
    for await (const _ of stream) if (++n === 3) break;
    assert.equal(n, 3);
    assert.ok((await chat({ max_tokens: 4 })).choices[0], "the server answers after a client left");
  },

  async max_tokens() {
    const c = await chat({ messages: [{ role: "user", content: "Tell a long story about a river." }], max_tokens: 5, temperature: 0 });
    assert.equal(c.choices[0].finish_reason, "length");
    assert.equal(c.usage.completion_tokens, 5);
  },

  async several_choices() {
    const c = await chat({ max_tokens: 12, n: 2, temperature: 1.2, seed: 7 });
    assert.deepEqual(c.choices.map((x) => x.index), [0, 1]);
  },

  async stop() {
    const ask = [{ role: "user", content: "Write the letters: a, b, c, d, e, f" }];
    const free = (await chat({ messages: ask, max_tokens: 30, temperature: 0 })).choices[0].message.content;
    const word = free.split(/\s+/).filter(Boolean)[2];
    const cut = await chat({ messages: ask, max_tokens: 30, temperature: 0, stop: word });
    const text = cut.choices[0].message.content ?? "";
    assert.ok(!text.includes(word) && free.startsWith(text), JSON.stringify({ word, text, free }));
    assert.equal(cut.choices[0].finish_reason, "stop");
  },

  async seed() {
    const once = async (seed) => (await chat({ max_tokens: 24, temperature: 1, seed })).choices[0].message.content;
    assert.equal(await once(11), await once(11));
  },

  async logprobs() {
    const c = await chat({ max_tokens: 6, temperature: 0, logprobs: true, top_logprobs: 3 });
    for (const t of c.choices[0].logprobs.content) {
      assert.ok(t.logprob <= 0);
      assert.equal(t.top_logprobs.length, 3);
      assert.equal(t.top_logprobs[0].token, t.token);
    }
  },

  async completions() {
    const c = await client.completions.create({ model: LOCAL, prompt: "The capital of France is", max_tokens: 8, temperature: 0 });
    assert.equal(c.object, "text_completion");
    assert.ok(c.choices[0].text.trim());
  },

  async embeddings() {
    const both = await client.embeddings.create({ model: LOCAL, input: ["a cat sat on the mat", "a stock exchange"] });
    const floats = await client.embeddings.create({ model: LOCAL, input: "a cat sat on the mat", encoding_format: "float" });
    const [a, b] = [both.data[0].embedding, floats.data[0].embedding];
    assert.equal(a.length, b.length);
    assert.ok(a.length > 100 && a.every((x, i) => Math.abs(x - b[i]) < 1e-3), "base64 and float differ");
  },

  async tools() {
    const messages = [{ role: "user", content: "What is the weather in Paris?" }];
    const first = await client.chat.completions.create({ model: TOOLS, messages, tools: [WEATHER], tool_choice: "auto" });
    assert.equal(first.choices[0].finish_reason, "tool_calls");
    const call = first.choices[0].message.tool_calls[0];
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "Paris" });
    messages.push(first.choices[0].message, { role: "tool", tool_call_id: call.id, content: "21 degrees" });
    const second = await client.chat.completions.create({ model: TOOLS, messages, tools: [WEATHER] });
    assert.match(second.choices[0].message.content, /21 degrees/);
  },

  async tools_streamed() {
    const stream = client.chat.completions.stream({ model: TOOLS, messages: [{ role: "user", content: "What is the weather in Paris?" }], tools: [WEATHER] });
    const final = await stream.finalChatCompletion();
    assert.deepEqual(JSON.parse(final.choices[0].message.tool_calls[0].function.arguments), { city: "Paris" });
  },

  async unknown_fields_pass() {
    const c = await client.chat.completions.create({ model: TOOLS, messages: ASK, lab_option: { depth: 3 } });
    assert.equal(c.choices[0].message.content, 'lab_option={"depth":3}');
  },

  async unknown_model() {
    const e = await rejects(() => chat({ model: "no-such-model" }), OpenAI.NotFoundError);
    assert.equal(e.code, "model_not_found");
  },

  async wrong_key() {
    const other = new OpenAI({ apiKey: "sk-strata-wrong" });
    const e = await rejects(() => other.chat.completions.create({ model: LOCAL, messages: ASK }), OpenAI.AuthenticationError);
    assert.equal(e.code, "invalid_api_key");
    assert.ok(!e.message.includes("sk-strata-wrong"));
  },

  async bad_request() {
    const e = await rejects(() => chat({ messages: [{ role: "nobody", content: "x" }] }), OpenAI.BadRequestError);
    assert.ok(e.message);
  },

  async budget_is_not_retried() {
    const broke = new OpenAI({ apiKey: BROKE, maxRetries: 4, defaultHeaders: { "X-Check": "js-budget" } });
    const e = await rejects(() => broke.chat.completions.create({ model: TOOLS, messages: ASK }), OpenAI.APIError);
    assert.equal(e.status, 402);
    assert.equal(e.code, "budget_exceeded");
    const n = await (await fetch(`${COUNT}?check=js-budget`)).text();
    assert.equal(n, "1", `the client sent the refused request ${n} times`);
  },
};

for (const [name, fn] of Object.entries(checks)) {
  const result = { name, ok: true, detail: "" };
  try {
    await fn();
  } catch (e) {
    Object.assign(result, { ok: false, detail: `${e.stack}` });
  }
  console.log(JSON.stringify(result));
}
console.log(JSON.stringify({ name: "version", ok: true, detail: VERSION }));
