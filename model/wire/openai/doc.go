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
// completions, embeddings and models (platform.openai.com/docs/api-reference,
// read in November 2026), with the additions that other servers of the same
// wire make: reasoning_content (DeepSeek, Qwen, vLLM, SGLang), reasoning
// (OpenRouter, Groq), content as a list of thinking and text parts (Mistral),
// and usage inside x_groq (Groq) or inside a choice (Moonshot).
package openai
