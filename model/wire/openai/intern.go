package openai

import "strconv"

// intern returns the string of b without allocating for the words of the wire.
func intern(b []byte) string {
	switch string(b) {
	case "model":
		return "model"
	case "messages":
		return "messages"
	case "stream":
		return "stream"
	case "stream_options":
		return "stream_options"
	case "max_tokens":
		return "max_tokens"
	case "max_completion_tokens":
		return "max_completion_tokens"
	case "temperature":
		return "temperature"
	case "top_p":
		return "top_p"
	case "n":
		return "n"
	case "stop":
		return "stop"
	case "seed":
		return "seed"
	case "user":
		return "user"
	case "metadata":
		return "metadata"
	case "tools":
		return "tools"
	case "tool_choice":
		return "tool_choice"
	case "response_format":
		return "response_format"
	case "logprobs":
		return "logprobs"
	case "top_logprobs":
		return "top_logprobs"
	case "presence_penalty":
		return "presence_penalty"
	case "frequency_penalty":
		return "frequency_penalty"
	case "prompt":
		return "prompt"
	case "input":
		return "input"
	case "encoding_format":
		return "encoding_format"
	case "system":
		return "system"
	case "assistant":
		return "assistant"
	case "developer":
		return "developer"
	case "tool":
		return "tool"
	case "function":
		return "function"
	case "text":
		return "text"
	case "image_url":
		return "image_url"
	case "length":
		return "length"
	case "tool_calls":
		return "tool_calls"
	case "content_filter":
		return "content_filter"
	case "float":
		return "float"
	case "base64":
		return "base64"
	}
	return string(b)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func ftoa(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
