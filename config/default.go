package config

import (
	"go.yaml.in/yaml/v4"

	"github.com/stratahq/strata/model/provider/openai"
)

// Known is a provider that a key in the environment configures.
type Known = openai.KnownProvider

// Default is the configuration without a file: one upstream for each known
// provider whose key is in the environment.
func Default(env func(string) string) *File {
	f := &File{}
	f.AddKnown(openai.Known(), env)
	return f
}

// AddKnown adds an upstream for each known provider whose key is in the
// environment, unless the file configures one of that name.
func (f *File) AddKnown(known []Known, env func(string) string) {
	for _, k := range known {
		if _, ok := f.Upstreams[k.Name]; ok {
			continue
		}
		for _, v := range k.Env {
			if env(v) == "" {
				continue
			}
			if f.Upstreams == nil {
				f.Upstreams = map[string]Upstream{}
			}
			f.Upstreams[k.Name] = Upstream{Module: "provider.openai", Node: mapping("dialect", k.Name, "api_key", "env:"+v)}
			break
		}
	}
}

func mapping(pairs ...string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, p := range pairs {
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: p})
	}
	return n
}

// KeyFrom says where an upstream's key comes from, without the key: "env:NAME",
// "file:PATH", "literal", or "none".
func (u *Upstream) KeyFrom() string {
	n := find(u.Node, "api_key")
	if n == nil || n.Kind != yaml.ScalarNode || n.Value == "" {
		return "none"
	}
	if len(n.Value) > 4 && (n.Value[:4] == "env:" || len(n.Value) > 5 && n.Value[:5] == "file:") {
		return n.Value
	}
	return "literal"
}

// Setting returns a plain setting of the upstream's module, such as base_url; ""
// when it is not set.
func (u *Upstream) Setting(key string) string {
	if n := find(u.Node, key); n != nil && n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}
