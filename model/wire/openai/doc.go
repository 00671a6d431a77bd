// Package openai is OpenAI's wire format in both directions: request bodies into
// [model.Request] and back, replies and stream chunks into [model.Event] and
// back, error bodies, and server-sent events.
//
// It is on the path of every call, so it scans bytes itself instead of going
// through reflection: a chunk of a stream costs the allocation of its text and
// little more. Fields that are not understood survive: they are kept in Extra
// and in the raw body, which [Rewrite] forwards with every other byte unchanged.
//
// The formats are those of the OpenAI API reference for chat completions,
// completions, embeddings and models, as OpenAI's client library openai-go
// v3.96.0 types them, with additions that other servers of the same wire make:
// reasoning_content (DeepSeek, Qwen, Zhipu, SGLang, older vLLM), reasoning (Groq,
// OpenRouter, Ollama, vLLM since 0.11.2 at the latest), content as a list of thinking and text parts
// (Mistral), and usage inside x_groq (Groq). Usage inside a choice, said of
// Moonshot, is read too; no source for it was found.
package openai
